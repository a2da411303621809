//! Where, and by what device, something is ordered.

use crate::wire::object::{object, parts, words};
use crate::wire::{DateTime, Rule};

words! {
    /// What the user holds.
    pub enum TerminalType {
        /// A browser on a computer.
        Web = "WEB";
        /// A browser on a phone.
        Wap = "WAP";
        /// An app.
        App = "APP";
        /// A program inside an app.
        MiniApp = "MINI_APP";
    }
}

words! {
    /// What the phone runs.
    pub enum OsType {
        /// iOS.
        Ios = "IOS";
        /// Android.
        Android = "ANDROID";
    }
}

object! {
    /// Where, and by what device, something is ordered.
    pub struct Env => {
        /// What the user holds.
        pub terminal_type: Option<TerminalType> = "terminalType";
        /// What it runs: must be there for `APP` and `WAP` in an acquirer's payment.
        pub os_type: Option<OsType> = "osType";
        /// How the browser names itself.
        pub user_agent: Option<String> = "userAgent", Rule::PRIVATE;
        /// The device's id for risk control, at most 64 characters.
        pub device_token_id: Option<String> = "deviceTokenId", Rule::ID.private();
        /// The device's address, at most 32 characters.
        pub client_ip: Option<String> = "clientIp", Rule::max(32).private();
        /// The browser's id.
        pub cookie_id: Option<String> = "cookieId", Rule::PRIVATE;
        /// The terminal of the shop, at most 64 characters.
        pub store_terminal_id: Option<String> = "storeTerminalId", Rule::ID;
        /// When that terminal asked.
        pub store_terminal_request_time: Option<DateTime> = "storeTerminalRequestTime";
    }
}

parts!(Env);
