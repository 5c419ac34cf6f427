"""Events out of the database into NATS JetStream, and their consumers; payments never wait for any of it."""
