// Dray — DrayDelta.
