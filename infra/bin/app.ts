/** The CDK app: `npm run synth` writes its templates to cdk.out, offline and without credentials. */
import { App, Validations } from 'aws-cdk-lib'
import { AwsSolutionsChecks } from 'cdk-nag'
import { StorageStack } from '../lib/storage-stack.ts'

const app = new App()
new StorageStack(app, 'StrataStorage', { description: 'Strata: repository and staging buckets' })
// A violation makes synth fail.
Validations.of(app).addPlugins(new AwsSolutionsChecks(app))
app.synth()
