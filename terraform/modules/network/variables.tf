variable "region" {
  description = "Yurt's name of the region, such as us-east."
  type        = string
}

variable "aws_region" {
  description = "AWS's name of it, such as us-east-1."
  type        = string
}

variable "cidr" {
  description = "The VPC's addresses, a /16 that no other region has."
  type        = string
}

variable "zones" {
  description = "Availability zones; three, so that a majority survives the loss of one."
  type        = list(string)
}

variable "peers" {
  description = "The other regions by name; connection_id is empty where this region asks, and theirs where it accepts."
  type = map(object({
    aws_region    = string
    vpc_id        = string
    cidr          = string
    connection_id = string
  }))
}

variable "kms_key_arn" {
  description = "Encrypts the flow log."
  type        = string
}

variable "flow_log_role_arn" {
  description = "What the flow log is written as."
  type        = string
}
