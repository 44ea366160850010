// Dray — DrayWire.
