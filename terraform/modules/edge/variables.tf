variable "region" {
  description = "Yurt's name of the region; its endpoint is REGION.DOMAIN."
  type        = string
}

variable "domain" {
  description = "The network's domain."
  type        = string
}

variable "zone_id" {
  description = "The domain's hosted zone (terraform/global makes it)."
  type        = string
}

variable "vpc_id" {
  description = "Where the gateways are."
  type        = string
}

variable "subnet_ids" {
  description = "Public subnets."
  type        = list(string)
}

variable "group_id" {
  description = "The load balancer's security group."
  type        = string
}

variable "gateway_port" {
  description = "Where the gateways listen."
  type        = number
}

variable "logs_bucket" {
  description = "Takes the load balancer's logs of connections."
  type        = string
}

variable "protected" {
  description = "Whether AWS refuses to delete it."
  type        = bool
}
