// The AAR: generated code, facade, and the native library of each ABI. `package.sh` puts the latter in place.
plugins {
    id("com.android.library") version "8.13.0"
    id("org.jetbrains.kotlin.android") version "2.4.21"
}

val repository = file("../../..")

android {
    namespace = "org.nfcwallet"
    compileSdk = 36

    defaultConfig {
        // HostApduService with observe mode and 16 KB pages are newer; JNA and UniFFI work from here on.
        minSdk = 24
        consumerProguardFiles("consumer-rules.pro")
    }

    sourceSets.getByName("main") {
        java.srcDirs("$repository/target/bindings/kotlin", "../wallet/src/main/kotlin")
        // These need java.net.http, which Android has not.
        java.exclude("org/nfcwallet/desktop/**")
        jniLibs.srcDirs("$repository/target/bindings/android")
    }

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_17
        targetCompatibility = JavaVersion.VERSION_17
    }
}

dependencies {
    // The AAR has JNA's own native library, for pages of 16 KB from 5.17 on.
    implementation("net.java.dev.jna:jna:5.19.1@aar")
    api("org.jetbrains.kotlinx:kotlinx-coroutines-android:1.11.0")
}
