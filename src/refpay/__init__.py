"""The reference payment service: small enough to read in a day, correct where most are wrong."""
