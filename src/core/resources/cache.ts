// Keeps all APIs in memory. There are tens of them, and every authorization and token request reads them.
import type { Db } from '../../db/pool.ts'
import { listResources, type Resource, type ResourceScope } from './store.ts'

/** The APIs and their scopes. */
export interface ResourceDirectory {
  all(): Promise<Resource[]>
  find(identifier: string): Promise<Resource | undefined>
  /** A scope with the API it belongs to. */
  findScope(name: string): Promise<(ResourceScope & { resource: string }) | undefined>
  /** Drops what is in memory. */
  forget(): void
}

/**
 * @param mayRemember false while announcements may be missed: every call then reads from the database.
 * @param builtIn the API that is there without being registered
 */
export function resourceDirectory(db: Db, mayRemember: () => boolean, builtIn: Resource): ResourceDirectory {
  let kept: Promise<Resource[]> | undefined
  const all = (): Promise<Resource[]> => {
    if (kept && mayRemember()) return kept
    const loading = listResources(db).then((stored) => [
      builtIn,
      ...stored.filter(({ identifier }) => identifier !== builtIn.identifier),
    ])
    kept = loading
    loading.catch(() => {
      if (kept === loading) kept = undefined
    })
    return loading
  }
  return {
    all,
    find: async (identifier) => (await all()).find((resource) => resource.identifier === identifier),
    async findScope(name) {
      for (const { identifier, scopes } of await all()) {
        const scope = scopes.find((candidate) => candidate.name === name)
        if (scope) return { ...scope, resource: identifier }
      }
      return undefined
    },
    forget() {
      kept = undefined
    },
  }
}
