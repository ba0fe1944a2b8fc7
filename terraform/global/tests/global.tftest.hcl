# terraform -chdir=terraform/global test

mock_provider "aws" {
  mock_resource "aws_globalaccelerator_accelerator" {
    defaults = { id = "arn:aws:globalaccelerator::123456789012:accelerator/0", dns_name = "a.awsglobalaccelerator.com", hosted_zone_id = "Z2BJ6XQ5FK7U4H" }
  }
  mock_resource "aws_globalaccelerator_listener" {
    defaults = { id = "arn:aws:globalaccelerator::123456789012:accelerator/0/listener/1" }
  }
}

variables {
  domain = "run.example.org"
  regions = {
    us-east = {
      region   = "us-east", aws_region = "us-east-1", endpoint = "us-east.run.example.org"
      dns_name = "yurt-us.elb.amazonaws.com", zone_id = "Z26RNL4JYFTOTI"
      lb_arn   = "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/net/yurt-us/0123456789abcdef"
    }
    eu-west = {
      region   = "eu-west", aws_region = "eu-west-1", endpoint = "eu-west.run.example.org"
      dns_name = "yurt-eu.elb.amazonaws.com", zone_id = "Z2IFOLAFXWLO4F"
      lb_arn   = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/net/yurt-eu/0123456789abcdef"
    }
  }
}

run "the_nearest_by_latency" {
  command = apply

  assert {
    condition     = length(aws_route53_record.nearest) == 2 && length(aws_route53_record.by_place) == 0
    error_message = "One latency record a region."
  }
  assert {
    condition     = alltrue([for check in aws_route53_health_check.region : check.resource_path == "/readyz" && check.type == "HTTPS"])
    error_message = "Health is /readyz by HTTPS."
  }
  assert {
    condition     = length(aws_globalaccelerator_accelerator.this) == 0
    error_message = "Global Accelerator costs extra: only where it is asked for."
  }
}

run "by_place_with_a_bias" {
  command = apply
  variables {
    routing = "geoproximity"
    bias    = { eu-west = 20 }
  }

  assert {
    condition     = aws_route53_record.by_place["eu-west"].geoproximity_routing_policy[0].bias == 20
    error_message = "The bias widens eu-west."
  }
}

run "by_anycast" {
  command = apply
  variables {
    accelerator = true
  }

  assert {
    condition     = length(aws_globalaccelerator_endpoint_group.region) == 2
    error_message = "An endpoint group a region."
  }
}

run "no_such_routing" {
  command = plan
  variables {
    routing = "random"
  }
  expect_failures = [var.routing]
}
