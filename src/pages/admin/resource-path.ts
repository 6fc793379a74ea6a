// The address of an API in the console. Its identifier is a URI, so the address holds it as base64url.
import { listResources, type Resource } from '../../core/resources/store.ts'
import type { Db } from '../../db/pool.ts'
import { NotFound } from '../../http/errors.ts'

/** The page of an API. */
export function apiPath({ identifier }: Pick<Resource, 'identifier'>): string {
  return `/admin/apis/${Buffer.from(identifier).toString('base64url')}`
}

/** The API that a segment of an address names. @throws NotFound */
export async function apiAt(db: Db, segment: string): Promise<Resource> {
  const identifier = Buffer.from(segment, 'base64url').toString('utf8')
  const api = (await listResources(db)).find((each) => each.identifier === identifier)
  if (!api) throw new NotFound('There is no such API.')
  return api
}
