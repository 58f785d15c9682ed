// Private networking: the app in a subnet, storage and vault reachable from there only.
// The subscription must have the provider Microsoft.App registered.
param token string
param location string
param tags object
param stateAccountId string
param vaultId string
param natGatewayId string

resource network 'Microsoft.Network/virtualNetworks@2024-07-01' = {
  name: 'vnet-${token}'
  location: location
  tags: tags
  properties: {
    addressSpace: { addressPrefixes: ['10.20.0.0/24'] }
    subnets: [
      {
        name: 'app'
        properties: {
          addressPrefix: '10.20.0.0/26'
          delegations: [
            { name: 'functions', properties: { serviceName: 'Microsoft.App/environments' } }
          ]
          // Lets the firewall of the segment account allow this subnet.
          serviceEndpoints: [{ service: 'Microsoft.Storage' }]
          natGateway: empty(natGatewayId) ? null : { id: natGatewayId }
        }
      }
      {
        name: 'endpoints'
        properties: { addressPrefix: '10.20.0.64/27' }
      }
    ]
  }
}

var endpointSubnetId = '${network.id}/subnets/endpoints'

module blob 'private-endpoint.bicep' = {
  name: 'private-blob'
  params: {
    name: 'pep-blob-${token}'
    location: location
    tags: tags
    networkId: network.id
    subnetId: endpointSubnetId
    targetId: stateAccountId
    groupId: 'blob'
    zoneName: 'privatelink.blob.${environment().suffixes.storage}'
  }
}

module queue 'private-endpoint.bicep' = {
  name: 'private-queue'
  params: {
    name: 'pep-queue-${token}'
    location: location
    tags: tags
    networkId: network.id
    subnetId: endpointSubnetId
    targetId: stateAccountId
    groupId: 'queue'
    zoneName: 'privatelink.queue.${environment().suffixes.storage}'
  }
}

module vault 'private-endpoint.bicep' = {
  name: 'private-vault'
  params: {
    name: 'pep-vault-${token}'
    location: location
    tags: tags
    networkId: network.id
    subnetId: endpointSubnetId
    targetId: vaultId
    groupId: 'vault'
    zoneName: 'privatelink.vaultcore.azure.net'
  }
}

output appSubnetId string = '${network.id}/subnets/app'
