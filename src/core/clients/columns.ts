// Fragments of statements with the columns of registrations, made from the table of fields.
import { Fragment, fragment } from '../../db/pool.ts'
import { FIELD_NAMES, FIELDS, type FieldName, fieldsSetBy } from './fields.ts'

const POSTGRES = { text: 'text', address: 'text', list: 'text[]', flag: 'boolean', choice: 'text' } as const

/** The columns of all fields. */
export const FIELD_COLUMNS = new Fragment([FIELD_NAMES.join(', ')])

/** The column definitions with which Postgres reads a registration from JSON. */
export const APP_COLUMNS = new Fragment([
  ['id text', 'type text', ...FIELD_NAMES.map((name) => `${name} ${POSTGRES[FIELDS[name].shape]}`)].join(
    ', ',
  ),
])

/** Sets all fields to the values of `app`. */
export const TAKE_FIELDS = taking(FIELD_NAMES)

/** Sets the fields that a dynamically registered client may set to the values of `app`. */
export const TAKE_OWN_FIELDS = taking(fieldsSetBy('itself'))

const OTHERS = [
  ...[
    'verified_at',
    'verification_fell_at',
    'registered_by',
    'state',
    'state_reason',
    'version',
    'last_used_at',
  ],
  ...['resource', 'created_at', 'suspended_at'],
]

// Leaves out scopes that were removed but are still in the row of the client.
const LIVING_SCOPES = `array(select s from unnest(scopes) s
        where s not in (select gone.name from resource_scopes gone where gone.removed_at is not null)) as scopes`

/** The columns of a Client. */
export const CLIENT_COLUMNS = new Fragment([
  ['id', 'type', ...FIELD_NAMES.filter((name) => name !== 'scopes'), LIVING_SCOPES, ...OTHERS].join(', '),
])

/** The condition that the client `c` lives: it is neither suspended nor rejected nor deleted. Every read of a token joins it. */
export const CLIENT_LIVES = fragment`c.suspended_at is null and c.deleted_at is null and c.state <> 'rejected'`

function taking(names: FieldName[]): Fragment {
  return new Fragment([names.map((name) => `${name} = app.${name}`).join(', ')])
}
