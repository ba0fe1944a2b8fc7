"""What a region needs before its processes start: streams and consumers, and who may do what on its NATS servers."""
