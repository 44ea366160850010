// Dray — DrayMigrate.
