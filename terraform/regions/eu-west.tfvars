# The whole of a new region. What is an account's own (zone, image, buckets, hashes) is in common.tfvars.

region     = "eu-west"
aws_region = "eu-west-1"
zones      = ["eu-west-1a", "eu-west-1b", "eu-west-1c"]
cidr       = "10.21.0.0/16"
