// Dray — DrayFilters.
