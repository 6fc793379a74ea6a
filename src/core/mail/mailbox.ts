// Which addresses reach the same mailbox, as far as everybody can know: they count together. Two people who are taken for one
// share a limit, so that this is generous.

interface Provider {
  hosts: RegExp
  /** All hosts of the provider are one. */
  host?: string
  /** The name without what makes no difference there. @param name in lower case, without a `+tag` */
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
  // Dots and hyphens are one.
  {
    hosts: /^(ya\.ru|yandex\.(ru|com|by|kz|ua|com\.tr))$/,
    host: 'yandex.ru',
    name: (name) => name.replaceAll('.', '-'),
  },
  { hosts: /^(icloud|me|mac)\.com$/, host: 'icloud.com', name: (name) => name },
]

/** The mailbox that an address reaches: itself in lower case, without what its provider passes over. */
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
