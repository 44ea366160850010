// Dray — DrayCommand.
