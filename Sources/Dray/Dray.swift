// Dray — Dray.
