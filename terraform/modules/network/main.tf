# One VPC a region: public subnets hold the load balancer and the NAT gateways and nothing else; everything that runs
# has only a private address. One NAT gateway a zone, so that the loss of a zone is the loss of that zone.

locals {
  zones = { for at, zone in var.zones : zone => at }
}

resource "aws_vpc" "this" {
  cidr_block           = var.cidr
  enable_dns_support   = true
  enable_dns_hostnames = true
  tags                 = { Name = "yurt-${var.region}" }
}

# What AWS makes with a VPC and leaves open: emptied.
resource "aws_default_security_group" "closed" {
  vpc_id = aws_vpc.this.id
  tags   = { Name = "yurt-${var.region}-unused" }
}

# Brokers have fixed addresses, so nothing else may take one there.
resource "aws_subnet" "broker" {
  for_each = local.zones

  vpc_id            = aws_vpc.this.id
  availability_zone = each.key
  cidr_block        = cidrsubnet(var.cidr, 8, each.value + 4)
  tags              = { Name = "yurt-${var.region}-broker-${each.key}" }
}

resource "aws_internet_gateway" "this" {
  vpc_id = aws_vpc.this.id
  tags   = { Name = "yurt-${var.region}" }
}

resource "aws_subnet" "public" {
  for_each = local.zones

  vpc_id                  = aws_vpc.this.id
  availability_zone       = each.key
  cidr_block              = cidrsubnet(var.cidr, 8, each.value)
  map_public_ip_on_launch = false
  tags                    = { Name = "yurt-${var.region}-public-${each.key}" }
}

resource "aws_subnet" "private" {
  for_each = local.zones

  vpc_id            = aws_vpc.this.id
  availability_zone = each.key
  cidr_block        = cidrsubnet(var.cidr, 4, each.value + 1)
  tags              = { Name = "yurt-${var.region}-private-${each.key}" }
}

resource "aws_eip" "nat" {
  for_each = local.zones

  domain     = "vpc"
  tags       = { Name = "yurt-${var.region}-nat-${each.key}" }
  depends_on = [aws_internet_gateway.this]
}

resource "aws_nat_gateway" "this" {
  for_each = local.zones

  subnet_id     = aws_subnet.public[each.key].id
  allocation_id = aws_eip.nat[each.key].id
  tags          = { Name = "yurt-${var.region}-${each.key}" }
}

resource "aws_route_table" "public" {
  vpc_id = aws_vpc.this.id
  tags   = { Name = "yurt-${var.region}-public" }
}

resource "aws_route" "out" {
  route_table_id         = aws_route_table.public.id
  destination_cidr_block = "0.0.0.0/0"
  gateway_id             = aws_internet_gateway.this.id
}

resource "aws_route_table_association" "public" {
  for_each = local.zones

  subnet_id      = aws_subnet.public[each.key].id
  route_table_id = aws_route_table.public.id
}

resource "aws_route_table" "private" {
  for_each = local.zones

  vpc_id = aws_vpc.this.id
  tags   = { Name = "yurt-${var.region}-private-${each.key}" }
}

resource "aws_route" "private_out" {
  for_each = local.zones

  route_table_id         = aws_route_table.private[each.key].id
  destination_cidr_block = "0.0.0.0/0"
  nat_gateway_id         = aws_nat_gateway.this[each.key].id
}

resource "aws_route_table_association" "private" {
  for_each = local.zones

  subnet_id      = aws_subnet.private[each.key].id
  route_table_id = aws_route_table.private[each.key].id
}

resource "aws_route_table_association" "broker" {
  for_each = local.zones

  subnet_id      = aws_subnet.broker[each.key].id
  route_table_id = aws_route_table.private[each.key].id
}

# Artifacts are fetched from S3 at every start of a machine: not through the NAT gateways, which cost by the byte.
resource "aws_vpc_endpoint" "s3" {
  vpc_id            = aws_vpc.this.id
  service_name      = "com.amazonaws.${var.aws_region}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = [for table in aws_route_table.private : table.id]
  tags              = { Name = "yurt-${var.region}-s3" }
}

# -- the other regions ------------------------------------------------------------------------------------------------
# The newer region asks, the older one accepts at its next apply: a provider acts in one region only.

resource "aws_vpc_peering_connection" "asked" {
  for_each = { for name, peer in var.peers : name => peer if peer.connection_id == "" }

  vpc_id      = aws_vpc.this.id
  peer_vpc_id = each.value.vpc_id
  peer_region = each.value.aws_region
  auto_accept = false
  tags        = { Name = "yurt-${var.region}-${each.key}" }
}

resource "aws_vpc_peering_connection_accepter" "accepted" {
  for_each = { for name, peer in var.peers : name => peer if peer.connection_id != "" }

  vpc_peering_connection_id = each.value.connection_id
  auto_accept               = true
  tags                      = { Name = "yurt-${var.region}-${each.key}" }
}

locals {
  connections = merge(
    { for name, connection in aws_vpc_peering_connection.asked : name => connection.id },
    { for name, connection in aws_vpc_peering_connection_accepter.accepted : name => connection.id },
  )
  peer_routes = {
    for pair in setproduct(keys(var.peers), var.zones) : "${pair[0]}/${pair[1]}" => { peer = pair[0], zone = pair[1] }
  }
}

resource "aws_route" "peer" {
  for_each = local.peer_routes

  route_table_id            = aws_route_table.private[each.value.zone].id
  destination_cidr_block    = var.peers[each.value.peer].cidr
  vpc_peering_connection_id = local.connections[each.value.peer]
}

# -- who talked to whom -----------------------------------------------------------------------------------------------

resource "aws_cloudwatch_log_group" "flow" {
  name              = "/yurt/${var.region}/flow"
  retention_in_days = 365
  kms_key_id        = var.kms_key_arn
}

resource "aws_flow_log" "this" {
  vpc_id               = aws_vpc.this.id
  traffic_type         = "REJECT" # what was let through is in our own logs; all of it would cost more than the runners
  log_destination_type = "cloud-watch-logs"
  log_destination      = aws_cloudwatch_log_group.flow.arn
  iam_role_arn         = var.flow_log_role_arn
  tags                 = { Name = "yurt-${var.region}" }
}
