// The order in which Jest runs the files: the longest first, so that none of them runs alone at the end. Jest by itself orders by size
// until it has measured a first run.
import { statSync } from 'node:fs'

/** Files that take half a minute or more on a machine with two cores. */
const LONG = [
  'bench/quick',
  'races/cut',
  'browser/admin',
  'main',
  'api/schemathesis',
  'db/plans',
  'security/route-access',
  'core/escalation/operations',
  'browser/pages',
  'browser/unusual',
  'browser/developer',
  'browser/tabs',
  'cli/usage',
  'cli/audit',
  'core/audit/seal',
  'core/audit/verify',
  'security/storage-limits',
  'security/portal',
  'demo/browser',
  'demo/walk',
  'api/access',
]

interface File {
  path: string
}

/** The sequencer for Jest. */
export default class LongestFirst {
  sort<T extends File>(tests: Iterable<T>): T[] {
    const rank = ({ path }: File): number => {
      const at = LONG.findIndex((name) => path.endsWith(`/test/${name}.test.ts`))
      return at < 0 ? LONG.length : at
    }
    const size = ({ path }: File): number => statSync(path).size
    return [...tests].sort((a, b) => rank(a) - rank(b) || size(b) - size(a))
  }

  allFailedTests(): never {
    throw new Error('--onlyFailures wants a cache of results, which this order does without')
  }

  cacheResults(): void {}
}
