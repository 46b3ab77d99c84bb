import { environmentHelp, exitCodeHelp } from './help.ts'

/** --help of the commands for keys. No line is longer than 80 columns. */
const secretHelp = `
All of these need a secret that opens the tenant (STRATA_PASSPHRASE, --key-file
or --recovery-key). Where none is given, AWS KMS or Key Vault is asked if the
tenant opens by one of them, and else a terminal for the passphrase.`

export const keyHelp = `
A tenant has a key pair. Its private half opens everything and lies in the
store, wrapped once for each way to open it: by a passphrase, a key file, a
recovery sheet, AWS KMS or Azure Key Vault. Any one of them is enough. Backups
need none of them: they run with the keyring, which opens no block.

Every change is a new revision of the keys in the store; the highest holds.
${secretHelp}

Examples:
  strata key show
  strata key sheet --to sheet.txt
  strata key rotate
${environmentHelp}
${exitCodeHelp}`

export const keyShowHelp = `
Opens the keys, and says what else they open with and how often they were
rotated. A keyring from before a rotation is renewed, as by every command that
is given a secret.
${secretHelp}

Examples:
  strata key show
  strata key show --json | jq .opensWith
${environmentHelp}
${exitCodeHelp}`

export const keyPassphraseHelp = `
The new passphrase comes from STRATA_NEW_PASSPHRASE, or is asked for twice on a
terminal. The old one, or any other way to open the tenant, is needed first.

This is for a passphrase that is to be another one from now on, not for one
that leaked: earlier revisions of the keys stay in the store and open with the
old passphrase. When it leaked, change it and then run strata key rotate: what
is stored from then on does not open with anything that is known. What was
stored before was open to whoever had passphrase and store, and stays so.

Examples:
  strata key passphrase
  STRATA_NEW_PASSPHRASE=… strata key passphrase --key-file /root/baker.key
${environmentHelp}
${exitCodeHelp}`

export const keyAddHelp = `
WAY is one of
  key-file:PATH         a key file; it is made where there is none
  aws:KEY               a symmetric key of AWS KMS: its ARN, id or alias/NAME
  azure:https://VAULT.vault.azure.net/keys/NAME/VERSION
                        an RSA key of Azure Key Vault or Managed HSM
It takes the place of one of its kind that there was. A passphrase is added by
strata key passphrase, a sheet by strata key sheet.

A service never sees the tenant's key: it wraps 32 random bytes that wrap the
key. Credentials come from where its own tools take them. AWS needs kms:Encrypt
for this and kms:Decrypt to open; the encryption context has strata:tenant and
strata:repository. Key Vault needs the key permissions wrapKey and unwrapKey.
${secretHelp}

Examples:
  strata key add key-file:/media/stick/baker.key
  strata key add aws:alias/strata
${environmentHelp}
${exitCodeHelp}`

export const keyRemoveHelp = `
WAY is passphrase, key-file, recovery-sheet, aws or azure. The last way stays.
Earlier revisions of the keys stay in the store and open as they did: if the
secret is known to others, run strata key rotate afterwards.
${secretHelp}

Examples:
  strata key remove recovery-sheet
${environmentHelp}
${exitCodeHelp}`

export const keyRotateHelp = `
Makes a new key pair and a new index key. What is stored from now on does not
open with the keys that there were; what is there already stays readable, and
stays open to whoever has the former keys and the store. Nothing is stored
anew.

The new key has to be wrapped for each way to open the tenant, so all of their
secrets are needed: give those that are not asked for (--key-file,
STRATA_PASSPHRASE, STRATA_RECOVERY_KEY), or take a way out first with strata
key remove. After a leak: strata key passphrase (or add, remove) first, then
this.

Other machines with a keyring of the tenant go on with the former keys, with a
warning, until theirs is replaced: copy the new one there, and restart what
serves with it. Keys of digests, of names of sets and of segments on their way
follow from the first index key and stay; a tenant whose keyring was stolen
should move to a new tenant if that matters.

If it is cut off, run it again: it ends with one rotation, and nothing is lost.

Examples:
  strata key rotate --key-file /root/baker.key
${environmentHelp}
${exitCodeHelp}`

export const keySheetHelp = `
A page of text to print: where the store is, whose it is, and a key of its own
that opens everything, in four lines that tell a slip of the finger. Store and
paper are enough to restore, with every server and every other file lost.

There is one sheet at a time: a new one takes the place of the one before. With
--to it goes to a file that only its owner may read, and that must not exist
yet; print it and remove it. The sheet holds no credentials of the store.
${secretHelp}

Examples:
  strata key sheet | lp
  strata key sheet --to /dev/shm/sheet.txt
  strata restore latest:web-1 --to web-1.img --recovery-key
${environmentHelp}
${exitCodeHelp}`

export const keyDestroyHelp = `
Deletes the keys of a tenant. Without them nobody can open anything that is
stored of it, wherever copies of it are. There is no way back, so it takes
  1. --request: one person asks for it
  2. --confirm: a second person agrees. Both need a secret that opens the
     tenant, and not the same way: one the passphrase and the other the key
     file, for example. A tenant that opens in one way cannot be destroyed.
  3. the delay: 30 days unless --delay says otherwise, 7 at least, and at least
     7 from the confirmation
  4. --execute: does it, if the clocks of the store and of this machine agree
     that it is due, and nothing stands against it
Until then --cancel takes it back. Meanwhile backups go on, and the keys stay
as they are: no passphrase is changed, no way added, nothing rotated. Backups
that are under way, holds and locks stand against it. Without a step it says
how far it has come. A run that was cut off is finished by the same command.

It proves that two secrets were used, not that two people were there: see
SECURITY.md. Of buckets with versions every version of the keys is deleted; a
copy of the store that somebody made has the keys that were in it.
${secretHelp}

Examples:
  strata key destroy --request --tenant Baker --key-file /root/baker.key
  strata key destroy --confirm --tenant Baker
  strata key destroy --execute --tenant Baker
${environmentHelp}
${exitCodeHelp}`
