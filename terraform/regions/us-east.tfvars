# The whole of a new region. What is an account's own (zone, image, buckets, hashes) is in common.tfvars.

region     = "us-east"
aws_region = "us-east-1"
zones      = ["us-east-1a", "us-east-1b", "us-east-1c"]
cidr       = "10.20.0.0/16"
