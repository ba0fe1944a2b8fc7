# One region, whole, with a state of its own: whatever happens here happens to no other region.
#
#   terraform -chdir=terraform/region init -backend-config="key=yurt/us-east.tfstate" …
#   terraform -chdir=terraform/region apply -var-file=../regions/us-east.tfvars

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
  region = var.aws_region

  default_tags {
    tags = { project = "yurt", region = var.region, environment = var.environment }
  }
}

locals {
  peer_cidrs = [for peer in var.peers : peer.cidr]
  # every region is cut alike (modules/network), so the others' addresses follow from their cidr
  peer_brokers = {
    for name, peer in var.peers : name => [for at in range(3) : cidrhost(cidrsubnet(peer.cidr, 8, at + 4), 10)]
  }
  machine = {
    region               = var.region
    aws_region           = var.aws_region
    authoritative_region = var.authoritative_region
    servers              = var.servers
    ami_id               = var.ami_id
    kms_key_arn          = module.security.kms_key_arn
    artifacts_bucket     = var.artifacts_bucket
    artifacts            = var.artifacts
  }
  runner_programs = concat(["consul", "nomad", "yurt"], var.runner_engines.runsc ? ["runsc"] : [], var.runner_engines.images)
  runner_packages = concat(var.toolchains, var.runner_engines.docker ? ["docker.io"] : [])
  # name, role, size, disk, programs and packages of each kind of machine that lives in a group
  kinds = {
    servers  = { role = "server", type = var.server_type, disk = 30, programs = ["consul", "nomad"], packages = [] }
    gateway  = { role = "gateway", type = var.gateway_type, disk = 30, programs = ["consul", "nomad"], packages = ["docker.io"] }
    baseline = { role = "runner", type = var.runner_types[0], disk = 60, programs = local.runner_programs, packages = local.runner_packages }
    burst    = { role = "runner", type = var.runner_types[0], disk = 60, programs = local.runner_programs, packages = local.runner_packages }
  }
}

module "security" {
  source = "../modules/security"

  region       = var.region
  aws_region   = var.aws_region
  vpc_id       = module.network.vpc_id
  cidr         = var.cidr
  peer_cidrs   = local.peer_cidrs
  gateway_port = var.gateway_port
}

module "iam" {
  source = "../modules/iam"

  region           = var.region
  aws_region       = var.aws_region
  artifacts_bucket = var.artifacts_bucket
  kms_key_arn      = module.security.kms_key_arn
}

module "network" {
  source = "../modules/network"

  region            = var.region
  aws_region        = var.aws_region
  cidr              = var.cidr
  zones             = var.zones
  peers             = var.peers
  kms_key_arn       = module.security.kms_key_arn
  flow_log_role_arn = module.iam.flow_log_role_arn
}

module "broker" {
  source = "../modules/broker"

  machine               = local.machine
  zones                 = var.zones
  subnet_ids            = module.network.broker_subnet_ids
  subnet_cidrs          = module.network.broker_subnet_cidrs
  gateways              = local.peer_brokers
  group_ids             = module.security.group_ids["broker"]
  instance_profile_arn  = module.iam.instance_profile_arns["broker"]
  instance_profile_name = module.iam.instance_profile_names["broker"]
  instance_type         = var.broker_type
  data_gb               = var.broker_data_gb
  data_iops             = var.broker_data_iops
  data_mbps             = var.broker_data_mbps
  max_memory            = var.broker_max_memory
  protected             = var.protected
  final_snapshot        = var.protected
}

module "machine" {
  for_each = local.kinds
  source   = "../modules/machine"

  name                 = each.key
  role                 = each.value.role
  pool                 = contains(["gateway", "runner"], each.value.role) ? each.key : ""
  region               = var.region
  aws_region           = var.aws_region
  authoritative_region = var.authoritative_region
  servers              = var.servers
  wan_joins            = var.consul_wan_joins
  ami_id               = var.ami_id
  instance_type        = each.value.type
  disk_gb              = each.value.disk
  group_ids            = module.security.group_ids[each.value.role]
  instance_profile_arn = module.iam.instance_profile_arns[each.value.role]
  kms_key_arn          = module.security.kms_key_arn
  artifacts_bucket     = var.artifacts_bucket
  artifacts            = { for name in each.value.programs : name => var.artifacts[name] }
  packages             = each.value.packages
  images               = each.value.role == "runner" ? var.runner_engines.images : []
  # Consul's and Nomad's agents find the servers by this tag
  tags = each.value.role == "server" ? { yurt-server = var.region } : {}
}

module "servers" {
  source = "../modules/pool"

  name                    = "servers"
  region                  = var.region
  launch_template_id      = module.machine["servers"].launch_template_id
  launch_template_version = module.machine["servers"].launch_template_version
  subnet_ids              = module.network.private_subnet_ids
  min_size                = var.servers
  max_size                = var.servers
  rolling_min_healthy     = 66 # of three, one at a time
}

module "gateway" {
  source = "../modules/pool"

  name                    = "gateway"
  region                  = var.region
  launch_template_id      = module.machine["gateway"].launch_template_id
  launch_template_version = module.machine["gateway"].launch_template_version
  subnet_ids              = module.network.private_subnet_ids
  min_size                = var.gateways.min
  max_size                = var.gateways.max
  target_group_arns       = [module.edge.target_group_arn]
}

module "baseline" {
  source = "../modules/pool"

  name                    = "baseline"
  region                  = var.region
  launch_template_id      = module.machine["baseline"].launch_template_id
  launch_template_version = module.machine["baseline"].launch_template_version
  subnet_ids              = module.network.private_subnet_ids
  min_size                = var.baseline.min
  max_size                = var.baseline.max
  drain_s                 = 120
}

module "burst" {
  source = "../modules/pool"

  name                    = "burst"
  region                  = var.region
  launch_template_id      = module.machine["burst"].launch_template_id
  launch_template_version = module.machine["burst"].launch_template_version
  subnet_ids              = module.network.private_subnet_ids
  min_size                = var.burst.min
  max_size                = var.burst.max
  spot                    = true
  instance_types          = var.runner_types
  drain_s                 = 120 # as long as AWS gives notice
}

module "edge" {
  source = "../modules/edge"

  region       = var.region
  domain       = var.domain
  zone_id      = var.zone_id
  vpc_id       = module.network.vpc_id
  subnet_ids   = module.network.public_subnet_ids
  group_id     = module.security.edge_group_id
  gateway_port = var.gateway_port
  logs_bucket  = var.logs_bucket
  protected    = var.protected
}
