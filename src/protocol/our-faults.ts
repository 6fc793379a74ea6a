// Words for people about errors that neither they nor their app can do anything about.
/** What people read of an error that is not their doing, by its code. */
export const OUR_FAULTS: Record<string, string> = {
  temporarily_unavailable: 'Nothing was lost. Please try again in a few seconds.',
  too_many_requests:
    'Too many apps that are new here were named from your address. Please try again in an hour.',
  server_error: 'It is not your doing. Please try again; if it stays, ask for help.',
}
