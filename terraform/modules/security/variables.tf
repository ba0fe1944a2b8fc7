variable "region" {
  description = "Yurt's name of the region."
  type        = string
}

variable "aws_region" {
  description = "AWS's name of it."
  type        = string
}

variable "vpc_id" {
  description = "Where the groups are."
  type        = string
}

variable "cidr" {
  description = "The VPC's addresses."
  type        = string
}

variable "peer_cidrs" {
  description = "Addresses of the other regions."
  type        = list(string)
}

variable "gateway_port" {
  description = "Where the gateways listen."
  type        = number
}
