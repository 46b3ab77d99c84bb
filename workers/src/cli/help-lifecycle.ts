import { environmentHelp, exitCodeHelp } from './help.ts'

export const lifecycleHelp = `
What prune has tagged is deleted by the bucket, also when nobody of Strata
runs. For that it needs rules: they are compiled from the layout and from the
policy's storageClass, below the store's prefix only.
  plan   shows the rules, those of others, and which of these could delete or
         freeze what points need. Changes nothing.
  apply  writes ours. Rules of others stay as they are; while one of them is
         in conflict nothing is written, and it is named.
  check  for cron: 0 if all is as it should be, else 1 and what is not.
A directory has no rules: the service and each prune delete there.

S3 takes s3:GetLifecycleConfiguration, s3:GetBucketVersioning and
s3:GetBucketObjectLockConfiguration, apply also s3:PutLifecycleConfiguration.
Azure takes STRATA_AZURE_SUBSCRIPTION and STRATA_AZURE_RESOURCE_GROUP, and a
login that may read and write management policies (az login, a managed
identity, or AZURE_TENANT_ID, AZURE_CLIENT_ID, AZURE_CLIENT_SECRET); without
them plan prints what to give to az storage account management-policy create.
docs/lifecycle.md has more.

Examples:
  strata lifecycle plan
  strata lifecycle apply
  strata lifecycle check --json | jq '.conflicts[] | {name, could}'
  strata lifecycle apply --staging s3://staging-bucket
${environmentHelp}
${exitCodeHelp}`
