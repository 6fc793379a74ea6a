// The rows of the table: what each piece of work is, and what has to be ready before its clock starts.
import type { Pool } from '../src/db/pool.ts'
import {
  authorizeSilently,
  Browser,
  clientCredentials,
  expect,
  introspect,
  mainForm,
  redeem,
  refresh,
  signIn,
  signingAlg,
  type Tokens,
  Unexpected,
} from './browser.ts'
import { Connection } from './http.ts'
import { drive, type Extent, type Measured, sum, together } from './load.ts'
import type { SigningAlg } from './plan.ts'
import { addApps, allow } from './seed.ts'
import type { Target, Usage } from './targets.ts'

/** A target with the people and connections that load it. */
export interface Site {
  target: Target
  visitors: Visitor[]
  /** What its ID tokens are signed with. */
  alg: SigningAlg
  /** The database behind it, where it is Valetkey's. */
  db?: Pool
}

/** One of the concurrent users of a target, signed in to the app. */
export interface Visitor {
  email: string
  connection: Connection
  browser: Browser
}

/** A round's figures with what it took, both of the timed part only. */
export interface Round extends Measured {
  used: Omit<Usage, 'serverBytes'>
  serverBytes: number
}

/** A row of the table. */
export interface Row {
  key: string
  name: string
  /** In words: what the work consists of, and so what limits it. */
  limit: string
  /** True where the ceiling has nothing to compare with. */
  ownOnly?: boolean
  round(site: Site, seconds: number): Promise<Round>
}

/** Opens connections to a target and signs a person in on each. */
export async function openSite(target: Target, connections: number, db?: Pool): Promise<Site> {
  let alg: SigningAlg | undefined
  const visitors = await Promise.all(
    Array.from({ length: connections }, async () => {
      const connection = new Connection(target.port)
      const browser = new Browser(connection)
      const email = target.nextPerson()
      const code = await signIn(browser, target.clients, email)
      alg = signingAlg(await redeem(connection, target.clients, code))
      return { email, connection, browser }
    }),
  )
  return { target, visitors, alg: alg!, db }
}

/** All rows, in the order of the table. */
export const ROWS: Row[] = [
  {
    key: 'client-credentials',
    name: 'client credentials',
    limit:
      'the server’s core, most of it in oidc-provider and HTTP; then the insert, one statement for all requests that wait, and the log line',
    round: (site, seconds) =>
      timed(site, { seconds }, ({ connection }) => clientCredentials(connection, site.target.clients)),
  },
  {
    key: 'introspection',
    name: 'introspection',
    limit:
      'the server’s core, most of it in oidc-provider and HTTP; then the joined read of token, grant, client and user, one statement for all that wait',
    async round(site, seconds) {
      const { clients } = site.target
      const tokens = await freshTokens(site)
      return timed(site, { seconds }, async (visitor) => {
        const { access_token } = tokens.get(visitor)!
        if (!(await introspect(visitor.connection, clients, access_token)))
          throw new Unexpected('the token is dead')
      })
    },
  },
  {
    key: 'code-exchange',
    name: 'code exchange',
    limit:
      'waiting for each commit to reach the disk, then the server’s core, a good part of it signing the ID token; one statement uses up the codes of all that wait and stores their tokens',
    round: (site, seconds) =>
      inBatches(seconds, async () => {
        const codes: string[] = []
        await drive(site.visitors, { count: codesFor(seconds) }, async ({ browser }) => {
          codes.push(await authorizeSilently(browser, site.target.clients))
        })
        return timed(site, { count: codes.length }, async ({ connection }) => {
          await redeem(connection, site.target.clients, codes.pop()!)
        })
      }),
  },
  {
    key: 'refresh',
    name: 'refresh with rotation',
    limit:
      'as the code exchange: the commit of the statement that all who wait share, then signing; reads are shared',
    async round(site, seconds) {
      const { clients } = site.target
      const chains = await freshTokens(site)
      return timed(site, { seconds }, async (visitor) => {
        const { refresh_token } = chains.get(visitor)!
        chains.set(visitor, await refresh(visitor.connection, clients, refresh_token))
      })
    },
  },
  {
    key: 'silent-authorize',
    name: 'silent authorize',
    limit:
      'the server’s core and the disk: three statements one after the other (session, grant, code), the last one a commit; the session is renewed once a minute',
    round: (site, seconds) =>
      timed(site, { seconds }, async ({ browser }) => {
        await authorizeSilently(browser, site.target.clients)
      }),
  },
  {
    key: 'sign-in',
    name: 'full sign-in',
    limit:
      'argon2id (19 MiB, 2 passes) on both sides; then two pages and about 40 statements, as each step is stored',
    round: (site, seconds) =>
      timed(site, { seconds }, async ({ connection }) => {
        await signIn(new Browser(connection), site.target.clients, site.target.nextPerson())
      }),
  },
  {
    key: 'remove-app',
    name: 'remove app',
    limit:
      'waiting for the disk at the commit of one transaction (consent, grants, audit); before it the session is read',
    ownOnly: true,
    async round(site, seconds) {
      const apps = await addApps(site.db!, site.target.clients, APPS_A_BATCH)
      return inBatches(seconds, async () => {
        const removals: Removal[] = []
        const prepare = async (visitor: Visitor) => {
          for (const id of apps) removals.push(await prepareRemoval(site, visitor, id, 1))
        }
        await Promise.all(site.visitors.map(prepare))
        const tokens = removals.map(({ token }) => token)
        const round = await timed(site, { count: removals.length }, ({ connection }) =>
          removals.pop()!.confirm(connection),
        )
        for (const token of tokens) await expectDead(site, token)
        return round
      })
    },
  },
]

/** An app with access to somebody's account, one click away from its removal. */
export interface Removal {
  /** A token that lives until then. */
  token: string
  confirm(connection: Connection): Promise<void>
}

/** Gives an app access, and opens the page that asks whether to remove it. @param tokens how many hang on it. */
export async function prepareRemoval(
  { db, target }: Site,
  visitor: Visitor,
  client_id: string,
  tokens: number,
): Promise<Removal> {
  const token = await allow(db!, target.clients, visitor.email, client_id, tokens)
  const page = await visitor.browser.get(`/account/apps/${client_id}/remove`)
  expect(page, 200, 'the page that asks whether to remove the app')
  const { action, fields } = mainForm(page)
  return {
    token,
    async confirm(connection) {
      expect(
        await visitor.browser.through(connection).post(action, fields.toString()),
        303,
        'removing the app',
      )
    },
  }
}

/** Ends the run when a token still lives. */
export async function expectDead({ target, visitors }: Site, token: string): Promise<void> {
  if (await introspect(visitors[0]!.connection, target.clients, token)) {
    throw new Unexpected('a token outlived the removal of its app')
  }
}

// Few enough that a code is redeemed well within its minute, and no more than a short round can use.
const MOST_CODES = 480
const LEAST_CODES = 32
const CODES_A_SECOND = 1_000
const APPS_A_BATCH = 10

function codesFor(seconds: number): number {
  return Math.min(MOST_CODES, Math.max(LEAST_CODES, Math.ceil(seconds * CODES_A_SECOND)))
}

/** Tokens made now for each visitor, so that none runs out or is forgotten while it is measured. */
async function freshTokens({ target, visitors }: Site): Promise<Map<Visitor, Tokens>> {
  const made = visitors.map(async (visitor) => {
    const code = await authorizeSilently(visitor.browser, target.clients)
    return [visitor, await redeem(visitor.connection, target.clients, code)] as const
  })
  return new Map(await Promise.all(made))
}

async function timed(
  { target, visitors }: Site,
  extent: Extent,
  work: (visitor: Visitor) => Promise<void>,
): Promise<Round> {
  const before = target.usage()
  const measured = await drive(visitors, extent, work)
  const after = target.usage()
  return {
    ...measured,
    serverBytes: after.serverBytes,
    used: {
      serverSeconds: after.serverSeconds - before.serverSeconds,
      // A backend that ended meanwhile takes its account along.
      postgresSeconds: Math.max(0, after.postgresSeconds - before.postgresSeconds),
      driverSeconds: after.driverSeconds - before.driverSeconds,
      machineSeconds: after.machineSeconds - before.machineSeconds,
    },
  }
}

/** Repeats a batch, each with its own preparation, until the timed parts add up. */
async function inBatches(seconds: number, batch: () => Promise<Round>): Promise<Round> {
  const rounds: Round[] = []
  while (sum(rounds.map((round) => round.seconds)) < seconds) rounds.push(await batch())
  return allRounds(rounds)
}

/** Takes several rounds together. */
export function allRounds(rounds: Round[]): Round {
  const used = (key: keyof Round['used']) => sum(rounds.map((round) => round.used[key]))
  return {
    ...together(rounds),
    serverBytes: Math.max(...rounds.map(({ serverBytes }) => serverBytes)),
    used: {
      serverSeconds: used('serverSeconds'),
      postgresSeconds: used('postgresSeconds'),
      driverSeconds: used('driverSeconds'),
      machineSeconds: used('machineSeconds'),
    },
  }
}
