// Entry point of `azd up`: a resource group of its own, and everything in it.
targetScope = 'subscription'

@minLength(1)
@maxLength(40)
@description('Name of the azd environment; part of the resource group\'s name and of every resource\'s tags.')
param environmentName string

@minLength(1)
@description('Azure region of every resource.')
@metadata({ azd: { type: 'location' } })
param location string

@description('Object id of whoever deploys; may write secrets into the vault. Empty: nobody but the app.')
param principalId string = ''

@description('What principalId is: a pipeline deploys as a ServicePrincipal.')
@allowed(['User', 'Group', 'ServicePrincipal'])
param principalType string = 'User'

@minLength(3)
@maxLength(24)
@description('Storage account that Customer Insights writes segments to.')
param segmentAccountName string

@minLength(3)
@maxLength(63)
@description('Container in that account; the app may read this container and nothing else there.')
param segmentContainerName string

@description('Folder below the container to look in; empty for all of it.')
param segmentPrefix string = ''

@description('Resource group of the segment account; empty: the app\'s own.')
param segmentResourceGroupName string = ''

@description('Subscription of the segment account; empty: the app\'s own.')
param segmentSubscriptionId string = ''

@minLength(1)
@description('API key (OAuth client id) of the application registered at Constant Contact.')
param constantContactClientId string

@description('Base of Constant Contact\'s API.')
param constantContactApiUrl string = 'https://api.cc.email/v3'

@description('Base of Constant Contact\'s sign-in service.')
param constantContactAuthUrl string = 'https://authz.constantcontact.com/oauth2/default/v1'

@minValue(1)
@description('Calls to Constant Contact per second, over all instances.')
param constantContactRequestsPerSecond int = 4

@minValue(1)
@description('Calls to Constant Contact per day, over all instances.')
param constantContactRequestsPerDay int = 10000

@description('Application (client) id of the Entra registration people sign in with. Empty: everyone is refused.')
param authClientId string = ''

@description('Sign in with a client secret from the vault instead of the sign-in identity.')
param signInWithSecret bool = false

@description('Base of the app\'s public address when it has a domain of its own, without a slash at the end; empty: the platform\'s name.')
param publicUrl string = ''

@minLength(3)
@maxLength(63)
@description('Container of the app\'s own documents.')
param exportContainerName string = 'exports'

@description('NCRONTAB schedule, UTC, on which the app looks for exports that are due.')
param exportSchedule string = '0 */15 * * * *'

@minValue(0)
@description('Seconds a snapshot must be unchanged before it counts as complete.')
param snapshotQuietSeconds int = 600

@minValue(1)
@description('Seconds of the first wait before asking Constant Contact about an import.')
param activityPollSeconds int = 5

@description('Python version of the function app.')
@allowed(['3.11', '3.12', '3.13'])
param pythonVersion string = '3.13'

@description('Memory of one instance, in MB.')
@allowed([512, 2048, 4096])
param instanceMemoryMB int = 2048

@minValue(1)
@maxValue(1000)
@description('Most instances per scale group; some regions refuse less than 40.')
param maximumInstanceCount int = 40

@description('Put storage and vault behind private endpoints.')
param vnetEnabled bool = false

@description('Id of a NAT gateway for calls out of the private network; empty: default outbound access.')
param natGatewayId string = ''

@description('Mail address that alerts and the budget write to. Empty: alerts show in the portal only.')
param alertEmail string = ''

@minValue(1)
@description('Days without a new snapshot after which an export\'s alert fires; more than there are between refreshes.')
param nothingNewDays int = 3

@minValue(0)
@description('Monthly budget of the resource group in the billing currency; 0 for none.')
param monthlyBudget int = 0

@minValue(30)
@maxValue(730)
@description('Days that logs are kept.')
param logRetentionDays int = 30

@minValue(1)
@description('Most logs taken in per day, in GB; the rest of the day is lost.')
param logDailyCapGb int = 1

@description('Send the host\'s own logs and metrics to the workspace as well.')
param diagnosticLogs bool = false

@description('Recover the vault that an earlier deletion left behind.')
param recoverVault bool = false

var tags = { 'azd-env-name': environmentName }

resource group 'Microsoft.Resources/resourceGroups@2024-11-01' = {
  name: 'rg-${environmentName}'
  location: location
  tags: tags
}

module resources 'resources.bicep' = {
  name: 'resources'
  scope: group
  params: {
    environmentName: environmentName
    location: location
    operatorPrincipalId: principalId
    operatorPrincipalType: principalType
    segmentAccountName: segmentAccountName
    segmentContainerName: segmentContainerName
    segmentPrefix: segmentPrefix
    segmentResourceGroupName: segmentResourceGroupName
    segmentSubscriptionId: segmentSubscriptionId
    constantContactClientId: constantContactClientId
    // The hook after provisioning asks for it, so that it never lies in azd's environment file.
    constantContactClientSecret: ''
    constantContactApiUrl: constantContactApiUrl
    constantContactAuthUrl: constantContactAuthUrl
    constantContactRequestsPerSecond: constantContactRequestsPerSecond
    constantContactRequestsPerDay: constantContactRequestsPerDay
    authClientId: authClientId
    signInWithSecret: signInWithSecret
    publicUrl: publicUrl
    exportContainerName: exportContainerName
    exportSchedule: exportSchedule
    snapshotQuietSeconds: snapshotQuietSeconds
    activityPollSeconds: activityPollSeconds
    pythonVersion: pythonVersion
    instanceMemoryMB: instanceMemoryMB
    maximumInstanceCount: maximumInstanceCount
    vnetEnabled: vnetEnabled
    natGatewayId: natGatewayId
    alertEmail: alertEmail
    nothingNewDays: nothingNewDays
    monthlyBudget: monthlyBudget
    logRetentionDays: logRetentionDays
    logDailyCapGb: logDailyCapGb
    diagnosticLogs: diagnosticLogs
    recoverVault: recoverVault
  }
}

output AZURE_RESOURCE_GROUP string = group.name
output AZURE_TENANT_ID string = tenant().tenantId
output AZURE_FUNCTION_NAME string = resources.outputs.functionName
output AZURE_KEY_VAULT_NAME string = resources.outputs.vaultName
output CONSOLE_URL string = resources.outputs.consoleUrl
output CONSTANT_CONTACT_REDIRECT_URI string = resources.outputs.constantContactRedirectUri
output SIGN_IN_REDIRECT_URI string = resources.outputs.signInRedirectUri
output SIGN_IN_IDENTITY_PRINCIPAL_ID string = resources.outputs.signInIdentityPrincipalId
