// The command line: one file a noun in cli/, over the same store functions as the pages. It knows no SQL.
import { readFileSync } from 'node:fs'
import { Command, Help, type Option } from 'commander'
import { addAudit } from './audit.ts'
import { addClients } from './clients.ts'
import { EXIT, fail, Usage } from './command.ts'
import { addGrants } from './grants.ts'
import { addKeys } from './keys.ts'
import { addMigrate } from './migrate.ts'
import { addRegistrationTokens } from './registration-tokens.ts'
import { addResources } from './resources.ts'
import { addServe, type Serve } from './serve.ts'
import { addUsers } from './users.ts'

/** Runs one command. @param args what stands behind `valetkey`. @returns the exit code. */
export async function runCli(args: string[], serve: Serve): Promise<number> {
  // The writer gets the error of a closed pipe or a full disk; without a listener it would end the process here.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})
  try {
    await program(serve).parseAsync(args, { from: 'user' })
    return EXIT.ok
  } catch (error) {
    return fail(error)
  }
}

/** All commands, for {@link runCli} and for tests that list them. */
export function program(serve: Serve): Command {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  const valetkey = new Command('valetkey')
    .description('A standalone OAuth 2.0 and OpenID Connect authorization server.')
    .version(version)
    .configureHelp({ optionDescription: describedOption })
    .exitOverride()
    // fail() prints mistakes in one line.
    .configureOutput({ outputError: () => {} })
    .allowExcessArguments()
    .action(() => {
      const [given] = valetkey.args
      const problem = given === undefined ? 'which command?' : `unknown command ${JSON.stringify(given)}.`
      throw new Usage(`${problem} See: valetkey --help`)
    })
  addServe(valetkey, serve)
  const nouns = [
    addMigrate,
    addUsers,
    addClients,
    addRegistrationTokens,
    addResources,
    addGrants,
    addKeys,
    addAudit,
  ]
  for (const add of nouns) add(valetkey)
  return valetkey
}

function describedOption(option: Option): string {
  const text = new Help().optionDescription(option)
  return option.mandatory ? `${text} (required)` : text
}
