// Dray — DrayEngine.
