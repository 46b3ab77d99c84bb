import { environmentHelp, exitCodeHelp } from './help.ts'

/** --help of the service and its agents. No line is longer than 80 columns. */
export const serveHelp = `
Runs a process of the service until it is interrupted. Without --roles it does
everything; with it, several processes and hosts share the work: they have the
same store, staging area and Redis. STRATA_KEYRING names a keyring, or a
directory of keyrings (*.json), one for each tenant that is served.

Roles:
  gateway   agents talk to it, over HTTP
  ingest    turns segments into packs
  commit    makes points of sessions
  maintain  clears away dead sessions

With a staging area (an S3 bucket or Azure container of its own, see
docs/staging.md) agents send segments straight there, and workers may run
anywhere. Without one they send them to the gateway, whose process then needs
the role ingest as well.

Agents trust the certificate as any client does: give --tls-cert and --tls-key,
or let a proxy before it end TLS.

Examples:
  strata serve --listen 0.0.0.0:7420 --tls-cert cert.pem --tls-key key.pem
  strata serve --roles gateway --staging s3://staging
  strata serve --roles ingest,commit --staging s3://staging
${environmentHelp}
${exitCodeHelp}`

export const agentHelp = `
An agent backs up the machine that it runs on by way of a service. It holds
neither credentials of the store nor a passphrase: its own key, in the state
directory, is all it has.

Examples:
  strata agent enroll --service https://backup.example.com --token strata-…
  strata agent run /dev/vda
${exitCodeHelp}`

export const agentEnrollHelp = `
Makes this machine an endpoint of a service, with an enrolment token that an
operator has made there (strata token create). Where it was cut off, the same
command again goes on with what it began.

A machine is told from others by its machine id and the UUID of its firmware;
where there are none, or those of another machine (containers), by what
STRATA_MACHINE_ID says, here and in every run.

Examples:
  strata agent enroll --service https://backup.example.com --token strata-…
  STRATA_ENROLMENT_TOKEN=strata-… strata agent enroll --name web1 \\
    --service https://backup.example.com --ca /etc/strata/ca.pem
${exitCodeHelp}`

export const agentRunHelp = `
Makes one backup, or with --loop one whenever the policy's schedule says so: the
service is asked for the policy now and then, and the last one is kept to while
it cannot be reached. A run that was cut off is gone on with by the next one:
what the service has acknowledged is not sent again.

The set is named after the endpoint: NAME, or NAME@SET with --set.

Examples:
  strata agent run /dev/vda
  strata agent run --set data data=/dev/vdb
  strata agent run --loop /dev/vda
${exitCodeHelp}`
