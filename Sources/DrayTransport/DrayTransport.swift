// Dray — DrayTransport.
