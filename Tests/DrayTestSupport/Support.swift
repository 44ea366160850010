// Dray — support shared by the test targets.
