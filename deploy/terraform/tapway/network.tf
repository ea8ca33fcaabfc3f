# The functions accept no connection, and go out only where they are told to.

resource "aws_security_group" "functions" {
  count = var.vpc == null ? 0 : 1

  name        = "${var.name}-functions"
  description = "tapway functions: nothing in, out only to what is configured"
  vpc_id      = var.vpc.id
  tags        = local.tags
}

resource "aws_vpc_security_group_egress_rule" "functions" {
  count = length(try(var.vpc.egress, []))

  security_group_id            = aws_security_group.functions[0].id
  description                  = var.vpc.egress[count.index].description
  cidr_ipv4                    = try(strcontains(var.vpc.egress[count.index].cidr, ":"), false) ? null : var.vpc.egress[count.index].cidr
  cidr_ipv6                    = try(strcontains(var.vpc.egress[count.index].cidr, ":"), false) ? var.vpc.egress[count.index].cidr : null
  prefix_list_id               = var.vpc.egress[count.index].prefix_list
  referenced_security_group_id = var.vpc.egress[count.index].group
  ip_protocol                  = "tcp"
  from_port                    = var.vpc.egress[count.index].port
  to_port                      = var.vpc.egress[count.index].port
  tags                         = local.tags
}
