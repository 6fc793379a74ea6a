// Invitations to become an owner of an app: a link for the owner of an e-mail address. Only the digest of its secret is stored.
import { randomBytes } from 'node:crypto'
import { z } from 'zod'
import type { ActingUser } from '../../base/audit-events.ts'
import { digest } from '../../base/credentials.ts'
import { type Db, fragment, many, maybe, one, run, sql, tx } from '../../db/pool.ts'
import { SWEEP_BATCH, type Sweep } from '../../db/sweep.ts'
import { TooManyRequests } from '../../http/errors.ts'
import { record } from '../audit/store.ts'
import { InvalidMetadata } from '../clients/metadata.ts'
import { addOwner, findOwners, lockOwnApp } from '../clients/owners.ts'
import { type Client, findClient } from '../clients/store.ts'
import { queueMailToAnybody } from '../mail/outbox.ts'
import { findUser, normalEmail, type User } from '../users/store.ts'
import { afterOwners } from '../users/vouching.ts'

/** An invitation that nobody has accepted yet. */
export interface Invitation {
  id: string
  client_id: string
  email: string
  created_at: Date
  expires_at: Date
}

/** For how many days an invitation can be accepted. */
export const INVITATION_DAYS = 7

const MOST_OPEN = 20

const FULL =
  'This address was sent as many invitations as one address gets within a day. Nobody was invited. Try again tomorrow.'

// An invitation is valid only while its sender is an owner of the app.
const IS_OPEN = fragment`i.accepted_at is null and i.withdrawn_at is null and i.expires_at > now()
  and exists (select from client_owners o join users sender on sender.id = o.user_id
              where o.client_id = i.client_id and o.user_id = i.invited_by and sender.disabled_at is null)`

/** An e-mail address as it is stored and compared. @throws InvalidMetadata */
export function emailAddress(text: string): string {
  const email = normalEmail(text)
  if (!email) throw new InvalidMetadata('email', 'is missing, e.g. sam@example.com')
  if (email.length > 320 || !z.email().safeParse(email).success) {
    throw new InvalidMetadata('email', 'is not an e-mail address, e.g. sam@example.com')
  }
  return email
}

/**
 * Invites the owner of an address; an earlier invitation to that address ends.
 * @param mailed whether the link is mailed; otherwise the inviter hands it over
 * @returns the secret of the link, shown only now, or none when it is mailed; undefined when the app is not theirs
 * @throws InvalidMetadata; TooManyRequests when that address gets no more mails today
 */
export function createInvitation(
  db: Db,
  client_id: string,
  text: string,
  { mailed }: { mailed: boolean },
  by: ActingUser,
): Promise<{ secret: string | undefined; email: string } | undefined> {
  const email = emailAddress(text)
  const secret = randomBytes(32).toString('base64url')
  return tx(db, async (t) => {
    const client = await lockOwnApp(t, client_id, by.id)
    if (!client) return undefined
    const owners = await findOwners(t, client_id)
    if (owners.some((owner) => owner.email === email)) {
      throw new InvalidMetadata('email', 'looks after this app already')
    }
    await run(
      t,
      sql`update client_invitations set withdrawn_at = now()
          where client_id = ${client_id} and email = ${email} and accepted_at is null and withdrawn_at is null`,
    )
    if ((await listInvitations(t, client_id)).length >= MOST_OPEN) {
      throw new InvalidMetadata('email', `there are ${MOST_OPEN} open invitations; withdraw one first`)
    }
    const { id } = await one<{ id: string }>(
      t,
      sql`insert into client_invitations (client_id, hash, email, invited_by, expires_at)
          values (${client_id}, ${digest(secret)}, ${email}, ${by.id}, now() + make_interval(days => ${INVITATION_DAYS}))
          returning id`,
    )
    await record(t, { type: 'client.owner_invited', client_id, invitation_id: id }, by)
    if (!mailed) return { secret, email }
    const inviter = await findUser(t, by.id)
    const params = {
      invitation_id: id,
      client_id,
      client_name: client.name,
      inviter_name: inviter?.name ?? 'Somebody',
      inviter_email: inviter?.email_verified ? inviter.email : '',
    }
    const wait = await queueMailToAnybody(t, { to: email, kind: 'owner_invitation', params })
    if (wait !== undefined) throw new TooManyRequests(FULL, wait, false)
    return { secret: undefined, email }
  })
}

/**
 * Makes the link of an invitation that is being mailed; an earlier link ends.
 * @returns its path, or undefined when the invitation has ended
 */
export async function invitationLinkForMail(
  t: Db,
  { invitation_id }: { invitation_id: string },
): Promise<string | undefined> {
  const secret = randomBytes(32).toString('base64url')
  const renewed = await run(
    t,
    sql`update client_invitations i set hash = ${digest(secret)} where i.id = ${invitation_id} and ${IS_OPEN}`,
  )
  return renewed ? `/developer/invitations/${secret}` : undefined
}

/** The invitations of an app that can be accepted now. */
export function listInvitations(db: Db, client_id: string): Promise<Invitation[]> {
  return many<Invitation>(
    db,
    sql`select id, client_id, email, created_at, expires_at from client_invitations i
        where i.client_id = ${client_id} and ${IS_OPEN}
        order by created_at, id`,
  )
}

/** Ends an invitation. @returns whether it could be accepted until now. */
export function withdrawInvitation(db: Db, client_id: string, id: string, by: ActingUser): Promise<boolean> {
  return tx(db, async (t) => {
    if (!(await lockOwnApp(t, client_id, by.id))) return false
    const withdrawn = await run(
      t,
      sql`update client_invitations i set withdrawn_at = now()
          where i.id = ${id} and i.client_id = ${client_id} and ${IS_OPEN}`,
    )
    if (!withdrawn) return false
    await record(t, { type: 'client.invitation_withdrawn', client_id, invitation_id: id }, by)
    return true
  })
}

/** The app of a link that is valid or that this person has accepted, and whether the link is for this person. */
export async function findInvitation(
  db: Db,
  secret: string,
  user: User,
): Promise<{ client: Client; is_theirs: boolean; is_accepted: boolean } | undefined> {
  const invitation = await maybe<{ client_id: string; email: string }>(
    db,
    sql`select client_id, email from client_invitations i where i.hash = ${digest(secret)} and ${IS_OPEN}`,
  )
  if (!invitation) {
    const accepted = await findAccepted(db, secret, user.id)
    return accepted && { client: accepted, is_theirs: true, is_accepted: true }
  }
  const client = await findClient(db, invitation.client_id)
  if (!client) return undefined
  return { client, is_theirs: user.email_verified && user.email === invitation.email, is_accepted: false }
}

/**
 * Uses a link up and makes its person an owner, in one transaction. If that owner sends it again, nothing happens.
 * @returns undefined when the link has ended or is not for this person. @throws TooManyApps
 */
export function acceptInvitation(db: Db, secret: string, by: ActingUser): Promise<Client | undefined> {
  return tx(db, async (t) => {
    const accepted = await maybe<{ id: string; client_id: string }>(
      t,
      sql`update client_invitations i set accepted_at = now()
          from users u
          where i.hash = ${digest(secret)} and ${IS_OPEN}
            and u.id = ${by.id} and u.email = i.email and u.email_verified and u.disabled_at is null
          returning i.id, i.client_id`,
    )
    if (!accepted) return findAccepted(t, secret, by.id)
    const client = await findClient(t, accepted.client_id)
    if (!client) return undefined
    if (await addOwner(t, client.id, by.id)) {
      const { id: client_id } = client
      await record(
        t,
        { type: 'client.owner_added', client_id, user_id: by.id, invitation_id: accepted.id },
        by,
      )
      await afterOwners(t, client_id, { user_id: by.id, came: true }, by)
    }
    return client
  })
}

async function findAccepted(db: Db, secret: string, user_id: string): Promise<Client | undefined> {
  const accepted = await maybe<{ client_id: string }>(
    db,
    sql`select i.client_id
        from client_invitations i
        join users u on u.id = ${user_id} and u.email = i.email and u.email_verified
        join client_owners o on o.client_id = i.client_id and o.user_id = u.id
        where i.hash = ${digest(secret)} and i.accepted_at is not null`,
  )
  return accepted && findClient(db, accepted.client_id)
}

/** Deletes invitations that have ended. */
export const sweepInvitations: Sweep = (db) =>
  run(
    db,
    sql`delete from client_invitations where id = any(array(
          select id from client_invitations where expires_at < now() limit ${SWEEP_BATCH} for update skip locked))`,
  )
