variable "region" {
  description = "Yurt's name of the region."
  type        = string
}

variable "aws_region" {
  description = "AWS's name of it."
  type        = string
}

variable "artifacts_bucket" {
  description = "Where programs come from."
  type        = string
}

variable "kms_key_arn" {
  description = "Decrypts secrets."
  type        = string
}
