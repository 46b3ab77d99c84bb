import { App } from 'aws-cdk-lib'
import { Template } from 'aws-cdk-lib/assertions'
import { StorageStack } from './storage-stack.ts'

/** The stack as CloudFormation gets it, for tests. */
export function storageTemplate(): Template {
  return Template.fromStack(new StorageStack(new App(), 'Test'))
}
