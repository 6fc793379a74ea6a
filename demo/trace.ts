// A record of the calls that programs make to each other behind the browser's back, fit to be shown:
// of a secret or token only the beginning stands in it.

/** One call and its answer. */
export interface Call {
  from: string
  method: string
  url: string
  status: number
  /** What was sent and what came back, in a few words. */
  sent: string
  got: string
  /** When the answer stood, in milliseconds of `performance.now()`. */
  at: number
}

/** Takes each call as it is answered. */
export type Trace = (call: Call) => void

/** `fetch` that reports every call of `from`. */
export function tracedFetch(from: string, trace: Trace | undefined) {
  return async (url: string, init: RequestInit): Promise<Response> => {
    const response = await fetch(url, init)
    if (!trace) return response
    const body = await response.clone().text()
    trace({
      from,
      method: init.method ?? 'GET',
      url,
      status: response.status,
      sent: sent(new Headers(init.headers), init.body),
      got: got(response, body),
      at: performance.now(),
    })
    return response
  }
}

/** The beginning of a credential: enough to tell two apart, not enough to use. */
export function beginning(credential: string): string {
  return `${credential.slice(0, 10)}…`
}

function sent(headers: Headers, body: unknown): string {
  const parts = []
  const authorization = headers.get('authorization')
  if (authorization?.startsWith('Bearer ')) parts.push(`Bearer ${beginning(authorization.slice(7))}`)
  if (authorization?.startsWith('Basic ')) parts.push('with its own secret')
  if (body instanceof URLSearchParams || typeof body === 'string') {
    for (const [name, value] of new URLSearchParams(body)) {
      if (name === 'grant_type') parts.push(name.concat('=', value))
      if (['code', 'refresh_token', 'token', 'code_verifier'].includes(name)) {
        parts.push(`${name}=${beginning(value)}`)
      }
    }
  }
  return parts.join(' ')
}

function got(response: Response, body: string): string {
  const challenge = response.headers.get('www-authenticate')
  if (challenge) return /error="(\w+)"/.exec(challenge)?.[1] ?? challenge
  if (!response.headers.get('content-type')?.includes('json')) return ''
  const json = JSON.parse(body) as Record<string, unknown>
  const parts = []
  for (const name of ['error', 'active', 'scope', 'expires_in']) {
    if (json[name] !== undefined) parts.push(`${name}=${json[name]}`)
  }
  for (const name of ['access_token', 'refresh_token']) {
    if (typeof json[name] === 'string') parts.push(`${name}=${beginning(json[name])}`)
  }
  if (Array.isArray(json.photos)) parts.push(`${json.photos.length} photos`)
  return parts.join(' ')
}
