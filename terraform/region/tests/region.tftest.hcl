# A region as it is planned and applied, without AWS: terraform -chdir=terraform/region test

mock_provider "aws" {
  mock_resource "aws_lb" {
    defaults = {
      arn      = "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/net/yurt/0123456789abcdef"
      dns_name = "yurt.elb.us-east-1.amazonaws.com"
      zone_id  = "Z26RNL4JYFTOTI"
    }
  }
  mock_resource "aws_lb_target_group" {
    defaults = { arn = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/yurt/0123456789abcdef" }
  }
  mock_resource "aws_iam_instance_profile" {
    defaults = { arn = "arn:aws:iam::123456789012:instance-profile/yurt" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/yurt" }
  }
  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000" }
  }
  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:us-east-1:123456789012:log-group:/yurt/us-east/flow" }
  }
  mock_resource "aws_acm_certificate" {
    defaults = {
      arn = "arn:aws:acm:us-east-1:123456789012:certificate/00000000-0000-0000-0000-000000000000"
      domain_validation_options = [
        {
          domain_name           = "us-east.run.example.org"
          resource_record_name  = "_1.us-east.run.example.org."
          resource_record_type  = "CNAME"
          resource_record_value = "_1.acm-validations.aws."
        },
        {
          domain_name           = "run.example.org"
          resource_record_name  = "_2.run.example.org."
          resource_record_type  = "CNAME"
          resource_record_value = "_2.acm-validations.aws."
        },
      ]
    }
  }
  mock_resource "aws_acm_certificate_validation" {
    defaults = { certificate_arn = "arn:aws:acm:us-east-1:123456789012:certificate/00000000-0000-0000-0000-000000000000" }
  }
  mock_resource "aws_launch_template" {
    defaults = {
      id             = "lt-0123456789abcdef0"
      latest_version = 1
    }
  }
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{\"Version\":\"2012-10-17\",\"Statement\":[]}" }
  }
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
}

variables {
  region               = "us-east"
  aws_region           = "us-east-1"
  zones                = ["us-east-1a", "us-east-1b", "us-east-1c"]
  cidr                 = "10.20.0.0/16"
  domain               = "run.example.org"
  zone_id              = "Z0123456789ABCDEFGHIJ"
  ami_id               = "ami-0123456789abcdef0"
  artifacts_bucket     = "artifacts"
  logs_bucket          = "logs"
  authoritative_region = "us-east"
  artifacts = {
    consul = { key = "consul.zip", sha256 = "00000000000000000000000000000000000000000000000000000000000000c0" }
    nomad  = { key = "nomad.zip", sha256 = "0000000000000000000000000000000000000000000000000000000000000000" }
    nats   = { key = "nats.tgz", sha256 = "0000000000000000000000000000000000000000000000000000000000000000" }
    yurt   = { key = "yurt.tgz", sha256 = "0000000000000000000000000000000000000000000000000000000000000000" }
  }
  peers = {
    eu-west  = { aws_region = "eu-west-1", vpc_id = "vpc-0eu", cidr = "10.21.0.0/16" }
    ap-south = { aws_region = "ap-south-1", vpc_id = "vpc-0ap", cidr = "10.22.0.0/16", connection_id = "pcx-0ap" }
  }
}

run "the_design_s_sizes" {
  command = plan

  assert {
    condition     = module.baseline.sizes == { min = 5, max = 20 } && module.burst.sizes == { min = 0, max = 100 }
    error_message = "The baseline is 5 to 20 machines and the burst 0 to 100."
  }
}

run "it_stands" {
  command = apply

  assert {
    condition     = output.nats_urls == ["tls://10.20.4.10:4222", "tls://10.20.5.10:4222", "tls://10.20.6.10:4222"]
    error_message = "Brokers have the tenth address of each of their subnets."
  }
  assert {
    condition     = output.edge.endpoint == "us-east.run.example.org"
    error_message = "The endpoint is REGION.DOMAIN."
  }
  assert {
    condition     = length(output.peer.connection_ids) == 2
    error_message = "One connection a peer, asked or accepted."
  }
  assert {
    condition     = strcontains(output.user_data["1"], "{ name: \"eu-west\", urls: [\"nats://10.21.4.10:7222\",\"nats://10.21.5.10:7222\",\"nats://10.21.6.10:7222\"] }")
    error_message = "A broker's NATS knows the brokers of the other regions."
  }
  assert {
    condition     = alltrue([for name, text in output.user_data : strcontains(text, "X-aws-ec2-metadata-token")])
    error_message = "IMDSv2 only."
  }
}

run "a_network_of_another_size" {
  command = plan
  variables {
    cidr = "10.20.0.0/20"
  }
  expect_failures = [var.cidr]
}

run "two_zones_are_too_few" {
  command = plan
  variables {
    zones = ["us-east-1a", "us-east-1b", "us-east-1a"]
  }
  expect_failures = [var.zones]
}

run "an_artifact_without_its_hash" {
  command = plan
  variables {
    artifacts = { consul = { key = "consul.zip", sha256 = "short" } }
  }
  expect_failures = [var.artifacts]
}

run "an_engine_without_its_artifact" {
  command = plan
  variables {
    runner_engines = { docker = true, runsc = true, images = ["python"] }
  }
  expect_failures = [var.runner_engines]
}

run "runners_with_engines" {
  command = plan
  variables {
    runner_engines = { docker = true, runsc = true, images = ["python"] }
    artifacts = {
      consul = { key = "consul.zip", sha256 = "00000000000000000000000000000000000000000000000000000000000000c0" }
      nomad  = { key = "nomad.zip", sha256 = "0000000000000000000000000000000000000000000000000000000000000000" }
      nats   = { key = "nats.tgz", sha256 = "0000000000000000000000000000000000000000000000000000000000000000" }
      yurt   = { key = "yurt.tgz", sha256 = "0000000000000000000000000000000000000000000000000000000000000000" }
      runsc  = { key = "runsc", sha256 = "0000000000000000000000000000000000000000000000000000000000000000" }
      python = { key = "images/python.tar", sha256 = "0000000000000000000000000000000000000000000000000000000000000000" }
    }
  }
}
