variable "name" {
  description = "Of the pool: servers, gateway, baseline, burst."
  type        = string
}

variable "region" {
  description = "Yurt's name of the region."
  type        = string
}

variable "launch_template_id" {
  description = "What its machines are."
  type        = string
}

variable "launch_template_version" {
  description = "Of which version."
  type        = string
}

variable "subnet_ids" {
  description = "Where they are, a subnet a zone."
  type        = list(string)
}

variable "min_size" {
  description = "Least machines."
  type        = number
}

variable "max_size" {
  description = "Most machines."
  type        = number
}

variable "spot" {
  description = "Whether they are spot machines."
  type        = bool
  default     = false
}

variable "instance_types" {
  description = "For spot: several of about the same size, so that there is always one to be had."
  type        = list(string)
  default     = []
}

variable "target_group_arns" {
  description = "Load balancer target groups that they belong to."
  type        = list(string)
  default     = []
}

variable "drain_s" {
  description = "How long a machine may take to leave; 0: at once."
  type        = number
  default     = 0
}

variable "rolling_min_healthy" {
  description = "Per cent of the machines that stay while the others are replaced."
  type        = number
  default     = 90
}

variable "tags" {
  description = "On every machine."
  type        = map(string)
  default     = {}
}
