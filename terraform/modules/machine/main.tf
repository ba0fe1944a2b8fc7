# What every machine of ours has in common: IMDSv2 alone, an encrypted disk, a role, no public address, and a first
# start that fetches pinned artifacts and begins its work. A launch template, for groups and for single instances.

locals {
  user_data = templatefile("${path.module}/files/boot.sh.tftpl", {
    name                 = var.name
    role                 = var.role
    region               = var.region
    aws_region           = var.aws_region
    pool                 = var.pool
    servers              = var.servers
    wan_joins            = var.wan_joins
    authoritative_region = var.authoritative_region
    artifacts_bucket     = var.artifacts_bucket
    artifacts            = var.artifacts
    packages             = join(" ", var.packages)
    images               = var.images
    nats_config          = var.nats_config
    data_device          = var.data_device
    data_volume          = var.data_volume
  })
}

resource "aws_launch_template" "this" {
  name_prefix            = "yurt-${var.region}-${var.name}-"
  image_id               = var.ami_id
  instance_type          = var.instance_type
  update_default_version = true
  ebs_optimized          = true
  vpc_security_group_ids = var.group_ids
  user_data              = base64gzip(local.user_data)

  iam_instance_profile {
    arn = var.instance_profile_arn
  }

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1 # not from inside a container
    instance_metadata_tags      = "disabled"
  }

  block_device_mappings {
    device_name = "/dev/xvda"
    ebs {
      volume_type           = "gp3"
      volume_size           = var.disk_gb
      encrypted             = true
      kms_key_id            = var.kms_key_arn
      delete_on_termination = true
    }
  }

  monitoring {
    enabled = true
  }

  dynamic "tag_specifications" {
    for_each = ["instance", "volume"]
    content {
      resource_type = tag_specifications.value
      tags          = merge(var.tags, { Name = "yurt-${var.region}-${var.name}" })
    }
  }

  tags = merge(var.tags, { Name = "yurt-${var.region}-${var.name}" })

  lifecycle {
    create_before_destroy = true
    precondition {
      condition     = length(base64gzip(local.user_data)) <= 16384
      error_message = "The first-start script of ${var.name} is over the 16 KB that AWS takes; move something of it into the artifacts."
    }
  }
}
