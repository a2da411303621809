//! The gateway's server over real sockets, with clients that sign rightly, wrongly and as somebody else.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alipayplus::client::{CallOptions, Cause, Client, Outcome};
use alipayplus::mobile::{SdkProxy, SdkProxyAnswer, SdkProxyRequest};
use alipayplus::signature::{ClientId, KeyRing, Validity};
use alipayplus::{ResultCode, ResultStatus};
use nfcwallet_core::host::RequestType;
use tokio::runtime::Handle;

use super::*;
use crate::gateway::{Books, GatewayConfig};
use crate::issuer::{Authority, Issuer, IssuerConfig};
use crate::token_service::TokenService;

/// Keeps what it got, and answers after a pause.
#[derive(Default)]
struct Service {
    got: Mutex<Vec<(RequestType, String, Vec<u8>)>>,
    pause: Duration,
}

impl Upstream for Service {
    fn exchange(&self, kind: RequestType, customer_id: &str, body: &[u8]) -> Vec<u8> {
        std::thread::sleep(self.pause);
        self.got.lock().unwrap().push((kind, customer_id.to_owned(), body.to_vec()));
        "answer ü".as_bytes().to_vec()
    }
}

struct Scene {
    service: Arc<Service>,
    journal: Arc<Journal>,
    address: SocketAddr,
}

impl Scene {
    async fn start(pause: Duration, expiry: Duration) -> Self {
        let issuer = Issuer::under(Authority::shared().unwrap(), IssuerConfig::default()).unwrap();
        let tokens = Arc::new(TokenService::open(Arc::new(issuer), None).unwrap());
        let clock = Arc::new(ServersClock::new(tokens, Handle::current()));
        let service = Arc::new(Service { pause, ..Service::default() });
        let (journal, strikes) = (Arc::new(Journal::default()), Arc::new(Strikes::default()));
        // Nobody is called here.
        let line = MppLine::new("http://127.0.0.1:9", clock.clone(), expiry, Arc::clone(&journal), strikes).unwrap();
        let books = Arc::new(Books::in_memory().unwrap());
        let gateway = Arc::new(Gateway::new(GatewayConfig::default(), books, Arc::new(line), clock.clone()));
        let upstream: Arc<dyn Upstream> = service.clone();
        let server = GatewayServer { upstream, expiry, gateway, clock, journal: Arc::clone(&journal) };
        let router = server.router().unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { service, journal, address }
    }

    async fn relay(&self, name: &str, key: Party, kind: &str) -> Outcome<SdkProxyAnswer> {
        let name = ClientId::parse(name).unwrap();
        let theirs = Party::Gateway.key().unwrap().verifying_key().clone();
        let client = Client::builder(&format!("http://{}", self.address), name.clone())
            .signing_key(KEY_VERSION, key.key().unwrap())
            .peer_keys(KeyRing::new().with(name, KEY_VERSION, Validity::ALWAYS, theirs))
            .build()
            .unwrap();
        let request = SdkProxyRequest {
            sdk_request_header: kind.to_owned(),
            sdk_request_body: Some("{\"odd\": \"ü\"}\n".to_owned()),
            customer_id: "ann".to_owned(),
        };
        client.call::<SdkProxy>(&request, CallOptions::default()).await.unwrap()
    }

    async fn refused(&self, name: &str, key: Party, kind: &str) -> ResultCode {
        self.relay(name, key, kind).await.into_final().unwrap().result.result_code
    }
}

#[tokio::test]
async fn a_wallets_body_arrives_unchanged_in_the_name_of_the_user() {
    let scene = Scene::start(Duration::ZERO, Duration::from_secs(10)).await;
    let answer = scene.relay(MPP_CLIENT_ID, Party::Mpp, "APPLY").await.into_final().unwrap();
    assert_eq!(
        (answer.result.result_status, answer.sdk_response.as_deref()),
        (ResultStatus::Success, Some("answer ü"))
    );
    let got = (RequestType::Apply, "ann".to_owned(), "{\"odd\": \"ü\"}\n".as_bytes().to_vec());
    assert_eq!(*scene.service.got.lock().unwrap(), [got]);
    assert_eq!(
        scene.journal.since(0)[0].to_string(),
        "mpp -> gateway  POST /aps/api/v1/mobile/sdkProxy  SANDBOX_MPP  S SUCCESS"
    );
}

#[tokio::test]
async fn nothing_reaches_the_service_but_from_the_provider_and_with_its_key() {
    let scene = Scene::start(Duration::ZERO, Duration::from_secs(10)).await;
    assert_eq!(scene.refused(MPP_CLIENT_ID, Party::Acquirer, "APPLY").await, ResultCode::InvalidSignature);
    assert_eq!(scene.refused(ACQUIRER_CLIENT_ID, Party::Acquirer, "APPLY").await, ResultCode::AccessDenied);
    assert_eq!(scene.refused("SOMEBODY", Party::Mpp, "APPLY").await, ResultCode::InvalidClient);
    assert_eq!(scene.refused(MPP_CLIENT_ID, Party::Mpp, "APPLIES").await, ResultCode::ParamIllegal);
    assert_eq!(scene.service.got.lock().unwrap().len(), 0);
    assert_eq!(scene.journal.counts(), (4, 2));
}

#[tokio::test]
async fn a_service_that_is_too_slow_leaves_the_outcome_unknown() {
    let scene = Scene::start(Duration::from_millis(150), Duration::from_millis(20)).await;
    let Outcome::Unknown(unknown) = scene.relay(MPP_CLIENT_ID, Party::Mpp, "APPLY").await else { panic!("known") };
    let Cause::InProcess(answer) = unknown.last else { panic!("{:?}", unknown.last) };
    assert_eq!(answer.result.result_message, "the request expired");
}
