# A group of equal machines: servers, gateways, runners on demand, runners on spot. Sizes between the bounds belong to
# whoever scales it (the autoscaler, or a person), so Terraform sets the first size only.

locals {
  name = "yurt-${var.region}-${var.name}"
}

resource "aws_autoscaling_group" "this" {
  name                      = local.name
  min_size                  = var.min_size
  max_size                  = var.max_size
  desired_capacity          = var.min_size
  vpc_zone_identifier       = var.subnet_ids
  target_group_arns         = var.target_group_arns
  health_check_type         = length(var.target_group_arns) > 0 ? "ELB" : "EC2"
  health_check_grace_period = 300
  capacity_rebalance        = var.spot # a spot machine at risk is replaced before it is taken
  wait_for_capacity_timeout = "0"      # that machines come up is seen by their health, not by Terraform waiting
  enabled_metrics           = ["GroupDesiredCapacity", "GroupInServiceInstances", "GroupTotalInstances"]
  termination_policies      = ["OldestLaunchTemplate", "OldestInstance"]

  dynamic "launch_template" {
    for_each = var.spot ? [] : [1]
    content {
      id      = var.launch_template_id
      version = var.launch_template_version
    }
  }

  dynamic "mixed_instances_policy" {
    for_each = var.spot ? [1] : []
    content {
      instances_distribution {
        on_demand_base_capacity                  = 0
        on_demand_percentage_above_base_capacity = 0
        spot_allocation_strategy                 = "price-capacity-optimized"
      }
      launch_template {
        launch_template_specification {
          launch_template_id = var.launch_template_id
          version            = var.launch_template_version
        }
        dynamic "override" {
          for_each = var.instance_types
          content {
            instance_type = override.value
          }
        }
      }
    }
  }

  instance_refresh {
    strategy = "Rolling"
    preferences {
      min_healthy_percentage = var.rolling_min_healthy
      max_healthy_percentage = 120
      auto_rollback          = true
      skip_matching          = true
    }
  }

  dynamic "tag" {
    for_each = merge(var.tags, { Name = local.name })
    content {
      key                 = tag.key
      value               = tag.value
      propagate_at_launch = true
    }
  }

  lifecycle {
    ignore_changes = [desired_capacity]
    precondition {
      condition     = var.min_size <= var.max_size
      error_message = "${local.name}: min_size ${var.min_size} is above max_size ${var.max_size}; swap them."
    }
    precondition {
      condition     = !var.spot || length(var.instance_types) >= 3
      error_message = "${local.name}: name at least three instance types; spot capacity of one type runs out."
    }
  }
}

# A machine that is taken away first lets its programs end: Nomad drains it, then it completes the hook.
resource "aws_autoscaling_lifecycle_hook" "drain" {
  count = var.drain_s > 0 ? 1 : 0

  name                   = "drain"
  autoscaling_group_name = aws_autoscaling_group.this.name
  lifecycle_transition   = "autoscaling:EC2_INSTANCE_TERMINATING"
  heartbeat_timeout      = var.drain_s
  default_result         = "CONTINUE"
}
