// Finds addresses of the same mailbox by the public rules of mail providers, because they count together. If it takes two people for one,
// they share a limit.

interface Provider {
  hosts: RegExp
  /** The one host that stands for all hosts of the provider. */
  host?: string
  /** The name without parts that the provider ignores. @param name in lower case, without a `+tag` */
  name(name: string): string
}

const PROVIDERS: Provider[] = [
  { hosts: /^(gmail|googlemail)\.com$/, host: 'gmail.com', name: (name) => name.replaceAll('.', '') },
  {
    hosts: /^(proton\.me|pm\.me|protonmail\.(com|ch))$/,
    host: 'proton.me',
    name: (name) => name.replace(/[._-]/g, ''),
  },
  // name-tag@yahoo.com: a name has no hyphen there.
  {
    hosts: /^(yahoo\.((com?\.)?[a-z]{2}|com)|(ymail|rocketmail|myyahoo|aol)\.com)$/,
    name: (name) => name.replace(/-.*/, ''),
  },
  // The provider does not tell dots from hyphens.
  {
    hosts: /^(ya\.ru|yandex\.(ru|com|by|kz|ua|com\.tr))$/,
    host: 'yandex.ru',
    name: (name) => name.replaceAll('.', '-'),
  },
  { hosts: /^(icloud|me|mac)\.com$/, host: 'icloud.com', name: (name) => name },
]

/** The mailbox of an address: the address in lower case, without parts that its provider ignores. */
export function mailboxOf(address: string): string {
  const at = address.lastIndexOf('@')
  const name = address.slice(0, at).toLowerCase().replace(/\+.*/, '')
  const host = address.slice(at + 1).toLowerCase()
  // anything@name.fastmail.com
  const [, user, own] = /^([^.]+)\.(fastmail\.(?:com|fm))$/.exec(host) ?? []
  if (user && own) return `${user}@${own}`
  const provider = PROVIDERS.find(({ hosts }) => hosts.test(host))
  return provider ? `${provider.name(name)}@${provider.host ?? host}` : `${name}@${host}`
}
