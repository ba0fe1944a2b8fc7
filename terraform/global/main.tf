# What all regions share: the zone, the one name that leads to the nearest healthy region, and, where it is wanted,
# Global Accelerator. A region is known here by its file in regions/, which is an output of its own root.

terraform {
  required_version = ">= 1.11, < 2"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }
  backend "s3" {
    encrypt      = true
    use_lockfile = true
  }
}

provider "aws" {
  region = "us-east-1" # where AWS keeps what is global

  default_tags {
    tags = { project = "yurt", region = "global" }
  }
}

locals {
  files   = var.regions != null ? {} : { for file in fileset("${path.module}/regions", "*.json") : file => jsondecode(file("${path.module}/regions/${file}")) }
  regions = var.regions != null ? var.regions : { for region in values(local.files) : region.region => region }
}

resource "aws_route53_zone" "this" {
  #checkov:skip=CKV2_AWS_38:signing needs a key and a registrar that takes its record; docs/deploy.md says how to add it
  name    = var.domain
  comment = "Yurt"
}

# Who answered what: a record that vanished is seen.
resource "aws_cloudwatch_log_group" "queries" {
  #checkov:skip=CKV_AWS_158:it is encrypted by the key that must be given for it
  count = var.query_log_key_arn == "" ? 0 : 1

  name              = "/aws/route53/${var.domain}"
  retention_in_days = 365
  kms_key_id        = var.query_log_key_arn
}

resource "aws_route53_query_log" "this" {
  count = var.query_log_key_arn == "" ? 0 : 1

  zone_id                  = aws_route53_zone.this.zone_id
  cloudwatch_log_group_arn = aws_cloudwatch_log_group.queries[0].arn
}

# -- each region by its own name ---------------------------------------------------------------------------------------

resource "aws_route53_record" "region" {
  #checkov:skip=CKV2_AWS_23:what it leads to stands in another state
  for_each = local.regions

  zone_id = aws_route53_zone.this.zone_id
  name    = each.value.endpoint
  type    = "A"

  alias {
    name                   = each.value.dns_name
    zone_id                = each.value.zone_id
    evaluate_target_health = true
  }
}

resource "aws_route53_health_check" "region" {
  for_each = local.regions

  fqdn              = each.value.endpoint
  type              = "HTTPS"
  port              = 443
  resource_path     = "/readyz"
  request_interval  = 10
  failure_threshold = 2 # 20 s until a region that is not ready gets nobody new
  enable_sni        = true
  tags              = { Name = "yurt-${each.key}" }

  depends_on = [aws_route53_record.region]
}

# -- the nearest one ---------------------------------------------------------------------------------------------------

resource "aws_route53_record" "nearest" {
  #checkov:skip=CKV2_AWS_23:what it leads to stands in another state
  for_each = var.routing == "latency" ? local.regions : {}

  zone_id         = aws_route53_zone.this.zone_id
  name            = var.domain
  type            = "A"
  set_identifier  = each.key
  health_check_id = aws_route53_health_check.region[each.key].id

  latency_routing_policy {
    region = each.value.aws_region
  }
  alias {
    name                   = each.value.dns_name
    zone_id                = each.value.zone_id
    evaluate_target_health = true
  }
}

resource "aws_route53_record" "by_place" {
  #checkov:skip=CKV2_AWS_23:what it leads to stands in another state
  for_each = var.routing == "geoproximity" ? local.regions : {}

  zone_id         = aws_route53_zone.this.zone_id
  name            = var.domain
  type            = "A"
  set_identifier  = each.key
  health_check_id = aws_route53_health_check.region[each.key].id

  geoproximity_routing_policy {
    aws_region = each.value.aws_region
    bias       = lookup(var.bias, each.key, 0)
  }
  alias {
    name                   = each.value.dns_name
    zone_id                = each.value.zone_id
    evaluate_target_health = true
  }
}

# -- by anycast, where seconds of fail-over are worth its price ----------------------------------------------------------

resource "aws_globalaccelerator_accelerator" "this" {
  count = var.accelerator ? 1 : 0

  name            = "yurt"
  ip_address_type = "IPV4"

  dynamic "attributes" {
    for_each = var.accelerator_logs_bucket == "" ? [] : [1]
    content {
      flow_logs_enabled   = true
      flow_logs_s3_bucket = var.accelerator_logs_bucket
      flow_logs_s3_prefix = "accelerator"
    }
  }
}

resource "aws_globalaccelerator_listener" "https" {
  count = var.accelerator ? 1 : 0

  accelerator_arn = aws_globalaccelerator_accelerator.this[0].id
  protocol        = "TCP"
  client_affinity = "SOURCE_IP"
  port_range {
    from_port = 443
    to_port   = 443
  }
}

resource "aws_globalaccelerator_endpoint_group" "region" {
  for_each = var.accelerator ? local.regions : {}

  listener_arn                  = aws_globalaccelerator_listener.https[0].id
  endpoint_group_region         = each.value.aws_region
  health_check_interval_seconds = 10
  endpoint_configuration {
    endpoint_id                    = each.value.lb_arn
    weight                         = 128
    client_ip_preservation_enabled = true
  }
}

resource "aws_route53_record" "accelerator" {
  count = var.accelerator ? 1 : 0

  zone_id = aws_route53_zone.this.zone_id
  name    = "fast.${var.domain}"
  type    = "A"

  alias {
    name                   = aws_globalaccelerator_accelerator.this[0].dns_name
    zone_id                = aws_globalaccelerator_accelerator.this[0].hosted_zone_id
    evaluate_target_health = true
  }
}
