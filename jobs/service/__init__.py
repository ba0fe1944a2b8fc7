"""The plumbing of any process of ours: settings, logs, life, admin port, the NATS connection. Here I/O begins."""
