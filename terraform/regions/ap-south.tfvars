# The whole of a new region. What is an account's own (zone, image, buckets, hashes) is in common.tfvars.

region     = "ap-south"
aws_region = "ap-south-1"
zones      = ["ap-south-1a", "ap-south-1b", "ap-south-1c"]
cidr       = "10.22.0.0/16"
