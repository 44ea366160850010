// Dray — DrayDaemon.
