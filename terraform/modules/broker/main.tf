# NATS: three machines a region, one a zone, each with an address, a name and a disk that outlive it. JetStream knows its
# servers by name, so these are single instances and not a group: a new machine with the old disk is the old server.

locals {
  servers = { for at, cidr in var.subnet_cidrs : tostring(at + 1) => { at = at, address = cidrhost(cidr, 10) } }
  routes  = [for server in local.servers : "nats://${server.address}:6222"]
}

resource "aws_ebs_volume" "data" {
  for_each = local.servers

  availability_zone = var.zones[each.value.at]
  type              = "gp3"
  size              = var.data_gb
  iops              = var.data_iops
  throughput        = var.data_mbps
  encrypted         = true
  kms_key_id        = var.machine.kms_key_arn
  tags              = { Name = "yurt-${var.machine.region}-nats-${each.key}", backup = "daily" }

  final_snapshot = var.final_snapshot # what is in the queues can be brought back
}

module "machine" {
  for_each = local.servers
  source   = "../machine"

  name                 = "nats-${each.key}"
  role                 = "broker"
  region               = var.machine.region
  aws_region           = var.machine.aws_region
  authoritative_region = var.machine.authoritative_region
  servers              = var.machine.servers
  ami_id               = var.machine.ami_id
  instance_type        = var.instance_type
  disk_gb              = 20
  group_ids            = var.group_ids
  instance_profile_arn = var.instance_profile_arn
  kms_key_arn          = var.machine.kms_key_arn
  artifacts_bucket     = var.machine.artifacts_bucket
  artifacts            = { for name in ["consul", "nats"] : name => var.machine.artifacts[name] }
  data_device          = "/dev/xvdj"
  data_volume          = replace(aws_ebs_volume.data[each.key].id, "-", "")
  nats_config = templatefile("${path.module}/files/nats.conf.tftpl", {
    name     = "${var.machine.region}-${each.key}"
    region   = var.machine.region
    zone     = var.zones[each.value.at]
    address  = each.value.address
    routes   = local.routes
    gateways = var.gateways
    max_file = "${floor(var.data_gb * 0.85)}GB"
    max_mem  = var.max_memory
  })
  tags = { yurt-broker = var.machine.region }
}

resource "aws_instance" "this" {
  #checkov:skip=CKV_AWS_8:its launch template encrypts the disk
  #checkov:skip=CKV_AWS_126:its launch template turns detailed monitoring on
  for_each = local.servers

  subnet_id            = var.subnet_ids[each.value.at]
  private_ip           = each.value.address
  iam_instance_profile = var.instance_profile_name

  launch_template {
    id      = module.machine[each.key].launch_template_id
    version = module.machine[each.key].launch_template_version
  }

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  disable_api_termination = var.protected
  ebs_optimized           = true
  tags                    = { Name = "yurt-${var.machine.region}-nats-${each.key}", yurt-broker = var.machine.region }

  lifecycle {
    # a new template must not replace all three at once: `terraform apply -replace` does it one by one (docs/deploy.md)
    ignore_changes = [launch_template, ami, user_data]
  }
}

resource "aws_volume_attachment" "data" {
  for_each = local.servers

  device_name                    = "/dev/xvdj"
  volume_id                      = aws_ebs_volume.data[each.key].id
  instance_id                    = aws_instance.this[each.key].id
  stop_instance_before_detaching = true
}
