// Which IP addresses belong to the public internet. It opens no connection and knows no name.
import { BlockList, isIP } from 'node:net'

// RFC 6890 and the registries of special-purpose addresses, multicast, and the address of a cloud's own service (168.63.129.16).
const NOT_PUBLIC_IPV4 = ranges('ipv4', [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '168.63.129.16/32',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.31.196.0/24',
  '192.52.193.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '192.175.48.0/24',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/4',
  '240.0.0.0/4',
])

// Only 2000::/3 is public; loopback, link-local, unique local and multicast addresses are outside of it.
const GIVEN_OUT_IPV6 = ranges('ipv6', ['2000::/3'])
const NOT_PUBLIC_IPV6 = ranges('ipv6', [
  '2001::/23',
  '2001:db8::/32',
  // 6to4 leads to the embedded IPv4 address through relays of others (RFC 7526: deprecated).
  '2002::/16',
  '2620:4f:8000::/48',
  '3fff::/20',
])

// An IPv4 address in its last 32 bits: IPv4-mapped, and NAT64's well-known prefix (RFC 6052).
const CARRIES_IPV4 = ranges('ipv6', ['::ffff:0:0/96', '64:ff9b::/96'])

/** Whether it is a public IP address. */
export function isPublicAddress(address: string): boolean {
  const version = isIP(address)
  if (version === 4) return !NOT_PUBLIC_IPV4.check(address, 'ipv4')
  // A zone (fe80::1%eth0) has a meaning on this machine only.
  if (version !== 6 || address.includes('%')) return false
  if (CARRIES_IPV4.check(address, 'ipv6')) return isPublicAddress(carriedBy(address))
  return GIVEN_OUT_IPV6.check(address, 'ipv6') && !NOT_PUBLIC_IPV6.check(address, 'ipv6')
}

function ranges(family: 'ipv4' | 'ipv6', entries: string[]): BlockList {
  const list = new BlockList()
  for (const entry of entries) {
    const [address, bits] = entry.split('/')
    list.addSubnet(address!, Number(bits), family)
  }
  return list
}

function carriedBy(address: string): string {
  // The URL parser writes all forms of an address in one way, its last 32 bits as up to two groups of hexadecimal digits.
  const written = new URL(`http://[${address}]/`).hostname.slice(1, -1)
  const groups = written.split(':')
  const [high, low] = groups.slice(-2).map((group) => Number.parseInt(group || '0', 16))
  return [high! >> 8, high! & 255, low! >> 8, low! & 255].join('.')
}
