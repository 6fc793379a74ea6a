// The logo of an app over the Admin API: an uploaded picture is decoded and made into a logo.
import { getClient } from '../../core/clients/store.ts'
import { updateClient } from '../../core/clients/update.ts'
import { checkClientEscalation } from '../../core/escalation/clients.ts'
import { MOST_BYTES } from '../../core/logos/image.ts'
import { setLogo } from '../../core/logos/store.ts'
import type { MakeLogo } from '../../core/logos/upload.ts'
import { type Operation, operation } from '../framework/operation.ts'
import { CLIENT_ANSWER, changeClient, clientParams } from './access.ts'

const KINDS = ['image/png', 'image/jpeg', 'image/webp', 'image/gif']

/** Operations on logos. @param issuer under whose address they are served */
export function logoOperations({ issuer, makeLogo }: { issuer: string; makeLogo: MakeLogo }): Operation[] {
  return [
    operation({
      id: 'setClientLogo',
      method: 'PUT',
      path: '/clients/{client_id}/logo',
      tag: 'Apps',
      scope: 'clients:write',
      summary: 'Give an app a logo',
      description: 'The body is the picture, at most 1 MB. It becomes a square PNG that this server serves.',
      params: clientParams,
      upload: { types: KINDS, mostBytes: MOST_BYTES },
      ifMatch: 'optional',
      success: CLIENT_ANSWER,
      async run(input) {
        const { db, params, file, by } = input
        // Check this before decoding the picture.
        const { id } = await getClient(db, params.client_id)
        await checkClientEscalation(db, id, by)
        const png = await makeLogo(file, by.id!)
        return changeClient(input, (t) =>
          setLogo(t, { png, issuer }, (t, logo_uri) => updateClient(t, id, { logo_uri }, by)),
        )
      },
    }),
    operation({
      id: 'removeClientLogo',
      method: 'DELETE',
      path: '/clients/{client_id}/logo',
      tag: 'Apps',
      scope: 'clients:write',
      summary: 'Take the logo of an app away',
      description: 'Its initial is shown. One that stands elsewhere is no longer shown either.',
      params: clientParams,
      ifMatch: 'optional',
      success: CLIENT_ANSWER,
      run: (input) => changeClient(input, (t, { id }) => updateClient(t, id, { logo_uri: '' }, input.by)),
    }),
  ]
}
