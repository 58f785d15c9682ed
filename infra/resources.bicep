// Everything the app consists of, in one resource group.
// azuredeploy.json is made from this file: `python -m infra.check.arm` writes it anew.
targetScope = 'resourceGroup'

@minLength(1)
@maxLength(40)
@description('Name of this installation, for its tags.')
param environmentName string

@description('Azure region of every resource.')
param location string = resourceGroup().location

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

@description('Resource group of the segment account; empty: this one.')
param segmentResourceGroupName string = ''

@description('Subscription of the segment account; empty: this one.')
param segmentSubscriptionId string = ''

@minLength(1)
@description('API key (OAuth client id) of the application registered at Constant Contact.')
param constantContactClientId string

@secure()
@description('Client secret of that application. Empty: what the vault holds is left alone.')
param constantContactClientSecret string

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

@description('First month of the budget, counted once: the budget is not touched when it exists.')
param budgetStartDate string = utcNow('yyyy-MM-01')

@minValue(30)
@maxValue(730)
@description('Days that logs are kept.')
param logRetentionDays int = 30

@minValue(1)
@description('Most logs taken in per day, in GB; the rest of the day is lost.')
param logDailyCapGb int = 1

@description('Send the host\'s own logs and metrics to the workspace as well.')
param diagnosticLogs bool = false

@description('Object id of a person, group or pipeline that may write secrets into the vault; empty for none.')
param operatorPrincipalId string = ''

@description('What operatorPrincipalId is.')
@allowed(['User', 'Group', 'ServicePrincipal'])
param operatorPrincipalType string = 'User'

@description('Recover the vault that an earlier deletion left behind.')
param recoverVault bool = false

@description('Address of a released package to install; empty when azd or a pipeline deploys the code.')
param packageUri string = ''

var token = uniqueString(resourceGroup().id)
var tags = { 'azd-env-name': environmentName }

resource runIdentity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: 'id-run-${token}'
  location: location
  tags: tags
}

// Only names the app to Entra when people sign in; holds no role anywhere.
resource signInIdentity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: 'id-sign-in-${token}'
  location: location
  tags: tags
}

module telemetry 'telemetry.bicep' = {
  name: 'telemetry'
  params: {
    token: token
    location: location
    tags: tags
    retentionDays: logRetentionDays
    dailyCapGb: logDailyCapGb
  }
}

module state 'state.bicep' = {
  name: 'state'
  params: {
    token: token
    location: location
    tags: tags
    exportContainerName: exportContainerName
    publicAccess: !vnetEnabled
  }
}

module vault 'vault.bicep' = {
  name: 'vault'
  params: {
    token: token
    location: location
    tags: tags
    workspaceId: telemetry.outputs.workspaceId
    publicAccess: !vnetEnabled
    recover: recoverVault
    constantContactClientSecret: constantContactClientSecret
  }
}

module network 'network.bicep' = if (vnetEnabled) {
  name: 'network'
  params: {
    token: token
    location: location
    tags: tags
    stateAccountId: state.outputs.accountId
    vaultId: vault.outputs.vaultId
    natGatewayId: natGatewayId
  }
}

module roles 'roles.bicep' = {
  name: 'roles'
  params: {
    runPrincipalId: runIdentity.properties.principalId
    operatorPrincipalId: operatorPrincipalId
    operatorPrincipalType: operatorPrincipalType
    stateAccountName: state.outputs.accountName
    vaultName: vault.outputs.vaultName
    insightsName: telemetry.outputs.insightsName
    segmentSubscriptionId: empty(segmentSubscriptionId) ? subscription().subscriptionId : segmentSubscriptionId
    segmentResourceGroupName: empty(segmentResourceGroupName) ? resourceGroup().name : segmentResourceGroupName
    segmentAccountName: segmentAccountName
    segmentContainerName: segmentContainerName
  }
}

module app 'app.bicep' = {
  name: 'app'
  params: {
    token: token
    location: location
    tags: tags
    runIdentityId: runIdentity.id
    runClientId: runIdentity.properties.clientId
    signInIdentityId: signInIdentity.id
    signInClientId: signInIdentity.properties.clientId
    authClientId: authClientId
    signInWithSecret: signInWithSecret
    subnetId: vnetEnabled ? network!.outputs.appSubnetId : ''
    blobEndpoint: state.outputs.blobEndpoint
    queueEndpoint: state.outputs.queueEndpoint
    packageContainerName: state.outputs.packageContainerName
    vaultName: vault.outputs.vaultName
    vaultUrl: vault.outputs.vaultUrl
    insightsConnectionString: telemetry.outputs.insightsConnectionString
    workspaceId: telemetry.outputs.workspaceId
    diagnosticLogs: diagnosticLogs
    segmentBlobEndpoint: 'https://${segmentAccountName}.blob.${environment().suffixes.storage}'
    segmentContainerName: segmentContainerName
    segmentPrefix: segmentPrefix
    exportContainerName: exportContainerName
    exportSchedule: exportSchedule
    constantContactClientId: constantContactClientId
    constantContactApiUrl: constantContactApiUrl
    constantContactAuthUrl: constantContactAuthUrl
    constantContactRequestsPerSecond: constantContactRequestsPerSecond
    constantContactRequestsPerDay: constantContactRequestsPerDay
    publicUrl: publicUrl
    snapshotQuietSeconds: snapshotQuietSeconds
    activityPollSeconds: activityPollSeconds
    pythonVersion: pythonVersion
    instanceMemoryMB: instanceMemoryMB
    maximumInstanceCount: maximumInstanceCount
    packageUri: packageUri
  }
  // Roles first: the app reads its package and its host's locks as soon as it starts.
  dependsOn: [roles]
}

module alerts 'alerts.bicep' = {
  name: 'alerts'
  params: {
    token: token
    location: location
    tags: tags
    insightsId: telemetry.outputs.insightsId
    alertEmail: alertEmail
    nothingNewDays: nothingNewDays
  }
}

// A budget refuses a new start date, so the first deployment decides; change it under Cost Management.
@onlyIfNotExists()
resource budget 'Microsoft.Consumption/budgets@2024-08-01' = if (monthlyBudget > 0 && !empty(alertEmail)) {
  name: 'budget-${token}'
  properties: {
    category: 'Cost'
    amount: monthlyBudget
    timeGrain: 'Monthly'
    timePeriod: { startDate: budgetStartDate }
    notifications: {
      spent: {
        enabled: true
        operator: 'GreaterThan'
        threshold: 80
        thresholdType: 'Actual'
        contactEmails: [alertEmail]
      }
      forecast: {
        enabled: true
        operator: 'GreaterThan'
        threshold: 100
        thresholdType: 'Forecasted'
        contactEmails: [alertEmail]
      }
    }
  }
}

output functionName string = app.outputs.functionName
output vaultName string = vault.outputs.vaultName
output consoleUrl string = app.outputs.consoleUrl
output constantContactRedirectUri string = app.outputs.constantContactRedirectUri
output signInRedirectUri string = app.outputs.signInRedirectUri
output signInIdentityPrincipalId string = signInIdentity.properties.principalId
