// Dray — DrayFiles.
